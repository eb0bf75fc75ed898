"""Log lines: a constant event word, then fields; as text for people or as JSON for programs, on stderr.

No log call contains a secret; the formatter also masks them, in case a library logs one.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

from collector.text import printable, printable_json
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable

_STANDARD = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})


def configure(level: str, style: str, secrets: Iterable[str] = ()) -> None:
    """Send the log of the whole process to stderr, as `text` or `json`; *secrets* are shown as `***`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(_json if style == "json" else _text, secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("apscheduler", "asyncio", "aiohttp.access", "matplotlib"):
        quiet(chatty)


def quiet(name: str) -> None:
    """Log only warnings and errors of the logger *name*."""
    logging.getLogger(name).setLevel(logging.WARNING)


class _Redacting(logging.Formatter):
    def __init__(self, write: _Writer, secrets: Iterable[str]) -> None:
        super().__init__()
        self._write = write
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        line = self._write(record, self.formatException(record.exc_info) if record.exc_info else None)
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD and value is not None}


def _moment(record: logging.LogRecord) -> str:
    return from_epoch(record.created).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _text(record: logging.LogRecord, trace: str | None) -> str:
    fields = "".join(f" {name}={_word(value)}" for name, value in _fields(record).items())
    line = f"{_moment(record)} {record.levelname.lower()} {printable(record.getMessage())}{fields}"
    return line + "\n" + printable(trace, keep="\n") if trace else line


def _word(value: object) -> str:
    text = printable(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text


def _json(record: logging.LogRecord, trace: str | None) -> str:
    entry = {
        "time": _moment(record),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **_fields(record),
    }
    return printable_json(json.dumps(entry | ({"trace": trace} if trace else {}), default=str, ensure_ascii=False))


if TYPE_CHECKING:
    from typing import Protocol

    class _Writer(Protocol):
        def __call__(self, record: logging.LogRecord, trace: str | None) -> str: ...
