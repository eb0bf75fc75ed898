"""One variation of an answer, and the draft of an answer that variations change before it is sent."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from collector.timestamps import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.contract.request_parser import ApiRequest
    from collector.contract.response import HttpReply
    from collector.model import Question

Verdict = Literal["take", "leave out", "refuse"]
Document = dict[str, Any]

_VERBATIM = re.compile(r'"\\u0000([^"]*)\\u0000"')
_MARKED_EVERY = 5


def as_it_is(content: Any) -> Any:
    """Return *content* unchanged."""
    return content


@dataclass(slots=True)
class Draft:
    """An answer while variations change it: its *document*, which is correct at first, and its circumstances.

    *request* is the parsed request. *now* and *last_updated* are epoch seconds. *honest* returns the timestamps and the
    texts of values of a query between two moments on its grid. *names* are the names of the series in the document, by
    position. *has_groups*: each series has an array for each group instead of one of values; *groups* are their keys.
    *instead* is a reply that replaces the answer.
    """

    request: ApiRequest
    now: int
    last_updated: int
    honest: Callable[[Question, int, int], tuple[Sequence[int], Sequence[str]]]
    document: Document
    names: list[str] = field(init=False)
    groups: frozenset[str] = field(init=False)
    has_groups: bool = field(init=False)
    instead: HttpReply | None = None

    def __post_init__(self) -> None:
        self.names = [requested.name for requested in self.request.series]
        arrays = [{*arrays_of(series)} for series in self.series]
        self.has_groups = any(names != {"values"} for names in arrays)
        self.groups = frozenset().union(*arrays) if self.has_groups else frozenset()

    @property
    def result(self) -> Document:
        """The object with `meta` and the series."""
        result: Document = self.document["result"]
        return result

    @property
    def meta(self) -> Document:
        """The object `meta`."""
        meta: Document = self.result["meta"]
        return meta

    @property
    def info(self) -> Document:
        """The object with level and annotations."""
        info: Document = self.meta["confidenceInfo"]
        return info

    @property
    def series(self) -> list[Document]:
        """The series, by position."""
        return [self.result[name] for name in self.names]

    @property
    def step(self) -> int:
        """The width of a bucket in seconds."""
        return self.request.agg_interval.seconds


@dataclass(frozen=True, slots=True)
class Variation:
    """A form of an answer: *line* describes it, *verdict* is what the collector makes of it.

    *change* changes the document, *rewrite* its text, *resend* the reply; *options* replace those of the simulator.
    *part* names what it changes, as one or several dotted paths: two variations contradict each other if two of their
    parts are equal or one contains the other. *loses* says which buckets cannot be read: none, the marked ones, all
    others, or all. It is not made of an answer by dimension unless it can be *of_groups*.
    """

    name: str
    group: str
    line: str
    verdict: Verdict
    part: str
    change: Callable[[Draft], object] = as_it_is
    rewrite: Callable[[bytes], bytes] = as_it_is
    resend: Callable[[HttpReply], HttpReply] = as_it_is
    options: Mapping[str, Any] = field(default_factory=dict)
    of_groups: bool = True
    loses: Literal["nothing", "marked", "others", "all"] = "nothing"

    def common_part(self, other: Variation) -> str | None:
        """Return the part that both change, if there is one."""
        pairs = ((mine, theirs) for mine in self.part.split() for theirs in other.part.split())
        common = (
            max(mine, theirs, key=len) for mine, theirs in pairs if _contains(mine, theirs) or _contains(theirs, mine)
        )
        return next(common, None)

    def keeps(self, timestamp: int, step: int) -> bool:
        """Return whether the bucket at *timestamp* (epoch seconds) can still be read."""
        match self.loses:
            case "marked":
                return not is_marked(timestamp, step)
            case "others":
                return is_marked(timestamp, step)
            case "all":
                return False
            case _:
                return True


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}.".startswith(f"{outer}.")


def is_marked(timestamp: int, step: int) -> bool:
    """Return whether a bucket is one that some variations make unreadable: every fifth, in any window."""
    return timestamp // step % _MARKED_EVERY == 0


def epoch(text: str) -> int:
    """Return a time in the simulator's spelling as epoch seconds."""
    return int(utc(text).timestamp())


def verbatim(text: str) -> str:
    """Return a text that `encode` writes as it is, without quotes."""
    return f"\0{text}\0"


def encode(document: Any) -> bytes:
    """Write JSON, including texts of `verbatim`."""
    return _VERBATIM.sub(r"\1", json.dumps(document)).encode()


def arrays_of(series: Document) -> list[str]:
    """Return the keys of the arrays of values: one, or one for each group."""
    return [key for key in series if key != "timestamps"]


def on_values(spell: Callable[[str], Any]) -> Callable[[Draft], None]:
    """Return a change that spells every number with *spell*."""

    def change(draft: Draft) -> None:
        for series in draft.series:
            for key in arrays_of(series):
                series[key] = [spell(text) if _is_number(text) else text for text in series[key]]

    return change


def _is_number(content: Any) -> bool:
    return isinstance(content, str) and content.replace(".", "", 1).isdecimal() and content.isascii()


def on_timestamps(spell: Callable[[int], Any]) -> Callable[[Draft], None]:
    """Return a change that spells every timestamp, given as epoch seconds, with *spell*; null stays."""

    def change(draft: Draft) -> None:
        for series in draft.series:
            series["timestamps"] = [text and spell(epoch(text)) for text in series["timestamps"]]

    return change


def on_meta(key: str, spell: Callable[[Any], Any]) -> Callable[[Draft], None]:
    """Return a change that replaces a key of `meta` by the result of *spell*."""

    def change(draft: Draft) -> None:
        draft.meta[key] = spell(draft.meta[key])

    return change


def without_meta(key: str) -> Callable[[Draft], None]:
    """Return a change that removes a key of `meta`."""

    def change(draft: Draft) -> None:
        del draft.meta[key]

    return change
