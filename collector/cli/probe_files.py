"""The folder of `collector probe --save`: one file a body, private, without secrets."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from collector.errors import CollectorError, UsageError, system_words
from collector.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.collect.probe import Exchange

_REPORT = "probe.json"
_MASK = "***"


def redacted(content: Any, secrets: Sequence[str]) -> Any:
    """Return JSON *content* with every secret shown as `***`, in case that Radar quotes what it was sent."""
    match content:
        case str():
            for secret in secrets:
                content = content.replace(secret, _MASK)
            return content
        case dict():
            return {redacted(key, secrets): redacted(value, secrets) for key, value in content.items()}
        case list() | tuple():
            return [redacted(value, secrets) for value in content]
        case _:
            return content


@dataclass
class Folder:
    """Where bodies are kept; *names* maps the number of a request to its file."""

    path: Path
    secrets: Sequence[str]
    names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, secrets: Sequence[str]) -> Folder:
        """Make the folder, for its owner alone; UsageError for one that holds something, so that nothing is mixed."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if next(path.iterdir(), None) is not None:
                raise UsageError(f"--save {path}: the directory is not empty; name a new one")
        except OSError as error:
            raise CollectorError(f"cannot create the directory {path}: {system_words(error)}") from None
        return cls(path, secrets)

    def keep(self, exchange: Exchange) -> None:
        """Write the body of an exchange, if one came."""
        if exchange.body:
            kind = "json" if exchange.document is not None else "html" if exchange.body.lstrip()[:1] == b"<" else "txt"
            name = f"{exchange.number:02}-{re.sub('[^a-z0-9]+', '-', exchange.request.name.lower())}.{kind}"
            body = exchange.body
            for secret in self.secrets:
                body = body.replace(secret.encode(), _MASK.encode())
            self._write(name, body)
            self.names[exchange.number] = name

    def write_report(self, content: Any) -> None:
        """Write the report as JSON."""
        self._write(_REPORT, json.dumps(content, default=rfc3339, indent=2).encode())

    def _write(self, name: str, content: bytes) -> None:
        file = self.path / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
        except OSError as error:
            raise CollectorError(f"cannot write {file}: {system_words(error)}") from None
