"""Parts of an answer in the API's form: timestamps, arrays of texts, annotations, CSV.

Texts are joined instead of dumped from lists, because an answer may have a million points.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from collector.contract.request_parser import DAY, SLOT
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.model import Annotation

    Columns = tuple[str, Iterable[str], Iterable[str]]

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


def json_strings(texts: Sequence[str]) -> str:
    """Return a JSON array of texts that need no escapes."""
    return '["' + '","'.join(texts) + '"]' if texts else "[]"


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
    """Yield CSV with two columns for each (name, timestamps, values); a shorter series is followed by empty cells."""
    text = io.StringIO()
    titles = [name[:1].upper() + name[1:] for name, _, _ in series]
    writer = csv.writer(text, lineterminator="\n")
    careful = any("\r" in title for title in titles)  # csv leaves it bare
    header = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if careful else csv.QUOTE_MINIMAL)
    header.writerow([f"{title} {column}" for title in titles for column in ("timestamps", "values")])
    columns = [column for _, timestamps, values in series for column in (timestamps, values)]
    rows = itertools.zip_longest(*columns, fillvalue="")
    while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        writer.writerows(block)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()
