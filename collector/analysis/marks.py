"""Marks on charts: dates with a text, of the operator or of the shipped list of policies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from collector.timestamps import parse_moment, rfc3339

MAX_TEXT = 200
_MAX_URL = 2_000
_BALLOT = (
    "https://cabforum.org/2025/04/11/ballot-sc081v3-introduce-schedule-of-reducing-validity-and-data-reuse-periods/"
)
_CHROME = "https://github.com/GoogleChrome/CertificateTransparency/blob/main/changes.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A date, or a time from *start* until *end*, with a *text* and an address that says more.

    *id* is None before it is stored, and for a mark of *policy*: the shipped list.
    """

    start: datetime
    end: datetime | None = None
    text: str
    url: str | None = None
    id: int | None = None
    policy: bool = False

    def touches(self, start: datetime | None, end: datetime | None) -> bool:
        """Return whether the mark has a time in common with the range from *start* up to, not including, *end*."""
        last = self.end or self.start
        return (start is None or last >= start) and (end is None or self.start < end)


def _policy(date: str, text: str, url: str) -> Mark:
    return Mark(start=datetime.fromisoformat(date).replace(tzinfo=UTC), text=text, url=url, policy=True)


POLICY = (
    _policy("2015-01-01", "Chrome: EV certificates need CT", _CHROME),
    _policy(
        "2018-03-01",
        "CA/B Forum ballot 193: at most 825 days",
        "https://cabforum.org/wp-content/uploads/CA-Browser-Forum-BR-1.6.7.pdf",
    ),
    _policy("2018-05-01", "Chrome: all new certificates need CT", _CHROME),
    _policy("2020-09-01", "Apple: at most 398 days", "https://support.apple.com/en-us/102028"),
    _policy(
        "2022-04-15",
        "Chrome: SCTs of two operators, none need be Google's; three from 180 days on",
        "https://groups.google.com/a/chromium.org/g/ct-policy/c/507lPdbbwSk",
    ),
    _policy("2026-03-15", "CA/B Forum SC-081v3: at most 200 days", _BALLOT),
    _policy("2027-03-15", "CA/B Forum SC-081v3: at most 100 days", _BALLOT),
    _policy("2029-03-15", "CA/B Forum SC-081v3: at most 47 days", _BALLOT),
)
"""Dates from which on rules for public certificates hold, ascending, each with a source that states date and rule."""


def make_mark(date: str, text: str, end: str | None = None, url: str | None = None) -> Mark:
    """Return a mark from texts. Raises ValueError for an invalid one."""
    start, last = _moment("date", date), _moment("end", end) if end is not None else None
    if last is not None and last <= start:
        raise ValueError(f"end: {rfc3339(last)} is not after {rfc3339(start)}")
    text = text.strip()
    if not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        raise ValueError(f"text: must have 1 to {MAX_TEXT} printable characters")
    if url is not None and not _is_address(url):
        raise ValueError(f"url: must begin with https:// or http:// and have at most {_MAX_URL} printable characters")
    return Mark(start=start, end=last, text=text, url=url)


def _moment(name: str, text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _is_address(url: str) -> bool:
    begins = url.startswith(("https://", "http://"))
    return begins and len(url) <= _MAX_URL and url.isprintable() and " " not in url
