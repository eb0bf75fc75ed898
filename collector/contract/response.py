"""What a server of the API writes: errors in the envelope, and parts of an answer.

Texts are joined instead of dumped from lists, because an answer may have a million points.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import dataclass, field
from functools import lru_cache
from operator import eq
from typing import TYPE_CHECKING, Any

from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from collector.model import Annotation

    Columns = tuple[str, Iterable[str], Iterable[str]]

JSON_TYPE = "application/json"
SLOT, DAY = 900, 86_400
"""Seconds of the finest bucket, and of a day."""
_MAX_QUOTED = 80


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An HTTP status and the API's error code."""

    status: int
    code: int


BAD_REQUEST = ErrorCode(400, 2001)
TOO_COSTLY = ErrorCode(422, 2002)
URI_TOO_LONG = ErrorCode(414, 2001)
NO_CREDENTIALS = ErrorCode(400, 9106)
NO_ROUTE = ErrorCode(400, 7000)
NO_METHOD = ErrorCode(405, 7001)
WRONG_CREDENTIALS = ErrorCode(403, 10000)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete HTTP response before it is sent; *body* is not compressed."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class ApiError(Exception):
    """The request is rejected; *chain* is the `error_chain` inside the error."""

    def __init__(
        self,
        error_code: ErrorCode,
        message: str,
        *,
        chain: tuple[tuple[int, str], ...] = (),
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
        self.chain = chain
        self.retry_after = retry_after

    def reply(self) -> HttpReply:
        """Return the error as the API writes it."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return HttpReply(self.error_code.status, envelope(self.error_code.code, self.message, self.chain), headers)


def bad_request(message: str) -> ApiError:
    """Return the error for a parameter that the API does not accept: 400 with code 2001."""
    return ApiError(BAD_REQUEST, message)


def quote(text: str) -> str:
    """Return a received text in quotes, cut if it is long."""
    return f"'{text[:_MAX_QUOTED]}…'" if len(text) > _MAX_QUOTED else f"'{text}'"


def envelope(code: int, message: str, chain: tuple[tuple[int, str], ...] = ()) -> bytes:
    """Return the body of an error. The `result` of Radar's own errors is an empty object, of the gateway's null."""
    error: dict[str, Any] = {"code": code, "message": message}
    if chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in chain]
    result: dict[str, Any] | None = {} if 2000 <= code < 3000 else None  # noqa: PLR2004 - Radar's own range of codes
    return json.dumps({"success": False, "errors": [error], "messages": [], "result": result}).encode()


_CLOCK = tuple(f"T{slot // 4:02}:{slot % 4 * 15:02}:00" for slot in range(DAY // SLOT))
_ROWS_AT_ONCE = 1_000


def format_timestamps(timestamps: Iterable[int], suffix: str = "Z") -> Sequence[str]:
    """Return epoch seconds on the 15-minute grid as RFC 3339."""
    if isinstance(timestamps, range):
        return _stamps(timestamps, suffix)
    return [_day(moment // DAY) + _CLOCK[moment % DAY // SLOT] + suffix for moment in timestamps]


@lru_cache(maxsize=64)
def _stamps(timestamps: range, suffix: str) -> tuple[str, ...]:
    return tuple(_day(moment // DAY) + _CLOCK[moment % DAY // SLOT] + suffix for moment in timestamps)


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    return from_epoch(day * DAY).date().isoformat()


_WIDTH = len('"2026-01-31T23:45:00Z",')


def quoted_timestamps(timestamps: Sequence[int]) -> str:
    """Return epoch seconds on the 15-minute grid as RFC 3339, in quotes, separated by commas."""
    run = as_run(timestamps)
    if run is None:
        return quoted(format_timestamps(timestamps))
    days = [_clocks(run.step, run.start % run.step).replace("@", _day(day)) for day in _days(run)]
    first = run.start % DAY // run.step * _WIDTH
    return "".join(days)[first : first + len(run) * _WIDTH - 1]


def as_run(timestamps: Sequence[int]) -> range | None:
    """Return *timestamps* as a range; None unless they are buckets in a row, so wide that a day consists of them."""
    if len(timestamps) < 2:  # noqa: PLR2004 - one bucket has no distance to another one
        return None
    step = timestamps[1] - timestamps[0]
    if not (step >= SLOT and DAY % step == 0):
        return None
    run = range(timestamps[0], timestamps[-1] + 1, step)
    is_same = timestamps == run or (len(run) == len(timestamps) and all(map(eq, run, timestamps)))
    return run if is_same else None


def _days(run: range) -> range:
    return range(run.start // DAY, run[-1] // DAY + 1)


@lru_cache(maxsize=64)
def _clocks(step: int, offset: int) -> str:
    """Return the timestamps of a day, in quotes, each with a comma behind it; `@` stands for the date."""
    return "".join([f'"@{_CLOCK[second // SLOT]}Z",' for second in range(offset, DAY, step)])


def quoted(texts: Sequence[str]) -> str:
    """Return texts that need no escapes in quotes, separated by commas."""
    return '"' + '","'.join(texts) + '"' if texts else ""


def json_strings(texts: Sequence[str]) -> str:
    """Return a JSON array of texts that need no escapes."""
    return f"[{quoted(texts)}]"


def annotation_json(annotation: Annotation) -> dict[str, Any]:
    """Return an annotation with the API's keys, before it is written as JSON."""
    written: dict[str, Any] = {
        "dataSource": annotation.data_source,
        "description": annotation.description,
        "startDate": rfc3339(annotation.start_date),
        "endDate": rfc3339(annotation.end_date) if annotation.end_date else None,
        "eventType": annotation.event_type,
        "linkedUrl": annotation.linked_url,
        "isInstantaneous": annotation.is_instantaneous,
    }
    return written | ({"tags": list(map(_tag, annotation.tags))} if annotation.tags else {})


def _tag(text: str) -> Any:
    """Return a tag as it came: a tag that was an object is kept as its JSON."""
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def csv_chunks(series: Sequence[Columns]) -> Iterator[str]:
    """Return CSV with two columns for each (name, timestamps, values); a shorter series is followed by empty cells."""
    titles = [name[:1].upper() + name[1:] for name, _, _ in series]
    columns = [column for _, timestamps, values in series for column in (timestamps, values)]
    return csv_table([f"{title} {column}" for title in titles for column in ("timestamps", "values")], columns)


def csv_table(titles: Sequence[str], columns: Sequence[Iterable[str]]) -> Iterator[str]:
    """Yield CSV with *columns* of texts under their *titles*; a shorter column is followed by empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    needs_quotes = any("\r" in title for title in titles)  # csv does not quote it
    header = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if needs_quotes else csv.QUOTE_MINIMAL)
    header.writerow(titles)
    rows = itertools.zip_longest(*columns, fillvalue="")
    while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        writer.writerows(block)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()
