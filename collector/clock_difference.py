"""How far our clock is ahead of Radar's, as the replies of Radar show it. Pure: clocks are read elsewhere.

A reply was made between its request and its arrival, at the second of its `Date` header. That bounds the difference.
One header may be wrong, so a difference counts only if two replies agree on it, or if the reply itself confirms it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

NAMED_FROM = timedelta(minutes=1)
"""A smaller difference is none: the publication delay is longer, and requests end 15 minutes before their windows."""
_KEPT = 8
_SLACK_SECONDS = 5.0
"""Two replies agree although a clock was adjusted by so much in between."""
_ABSURD = timedelta(days=400)
_CONFIRMED_UP_TO = timedelta(days=31)
_SECOND = timedelta(seconds=1)
_SET_BACK = timedelta(hours=1)
"""A sample so much newer than the present was taken before our clock was set back. Clocks of replicas differ."""


@dataclass(frozen=True, slots=True)
class ClockSample:
    """By one reply our clock is *least* to *most* seconds ahead of Radar's; negative values: behind.

    *confirmed*: the reply refused a question in words, because its end lies in the future. *at* is when it came by our
    clock, in epoch seconds; None in the record of an earlier version.
    """

    least: float
    most: float
    confirmed: bool = False
    at: float | None = None

    def agrees(self, other: ClockSample) -> bool:
        """Return whether one difference fits both."""
        return max(self.least, other.least) <= min(self.most, other.most) + _SLACK_SECONDS

    def confirm(self) -> ClockSample:
        """Return the sample of a reply that refused a question in words; a very large difference takes two replies."""
        return replace(self, confirmed=self.most <= _CONFIRMED_UP_TO.total_seconds())


def sample(date: datetime | None, sent_at: datetime, received_at: datetime) -> ClockSample | None:
    """Return what a reply of *date*, by Radar's clock, shows; None without a date or with an absurd one.

    *sent_at* and *received_at* are moments of our clock, at the request and at the headers of the reply.
    """
    if date is None or sent_at > received_at or abs(received_at - date) > _ABSURD:
        return None
    least, most = (sent_at - date - _SECOND).total_seconds(), (received_at - date).total_seconds()
    return ClockSample(least, most, at=received_at.timestamp())


@dataclass(frozen=True, slots=True)
class ClockDifference:
    """What the newest replies show; *samples* has the newest first."""

    samples: tuple[ClockSample, ...] = ()

    @property
    def found(self) -> timedelta | None:
        """How far our clock is ahead of Radar's, in whole seconds; None if that is not known."""
        limit = NAMED_FROM.total_seconds()
        for sample in self.samples:
            agreeing = [other.most for other in self.samples if sample.agrees(other)]
            fits_no_difference = sample.least <= limit and sample.most >= -limit  # our own clock is the second witness
            if sample.confirmed or fits_no_difference or len(agreeing) > 1:
                return timedelta(seconds=round(min(agreeing)))
        return None

    @property
    def named(self) -> timedelta | None:
        """The difference if it is over a minute."""
        found = self.found
        return found if found is not None and abs(found) > NAMED_FROM else None

    @property
    def ahead(self) -> timedelta:
        """How far Radar's present lies before ours: zero if our clock is behind, or if the difference is small."""
        return max(self.named or timedelta(0), timedelta(0))

    def at(self, now: datetime) -> Self:
        """Return the difference without the samples from after *now*: our clock was set back since then."""
        latest = (now + _SET_BACK).timestamp()
        kept = tuple(one for one in self.samples if one.at is None or one.at <= latest)
        return self if kept == self.samples else replace(self, samples=kept)

    def after(self, newest: ClockSample) -> Self:
        """Return the difference with one more sample."""
        return replace(self, samples=(newest, *self.samples)[:_KEPT])

    def is_news(self, known: ClockDifference) -> bool:
        """Return whether this must be put on record in the place of *known*: it is another, or is about to be."""
        if (self.found is None) != (known.found is None):
            return True
        if self.found is None or known.found is None:
            return self.samples != known.samples
        moved = abs(self.found - known.found) >= timedelta(seconds=_SLACK_SECONDS)
        disagrees = bool(self.samples) and not (
            self.samples[0].least - _SLACK_SECONDS
            <= self.found.total_seconds()
            <= self.samples[0].most + _SLACK_SECONDS
        )
        return moved or disagrees

    def dump(self) -> str:
        """Write the record as JSON."""
        found = self.found
        rows = [[one.least, one.most, one.confirmed, one.at] for one in self.samples]
        return json.dumps({"seconds": None if found is None else found.total_seconds(), "samples": rows})


def load(text: str | None) -> ClockDifference:
    """Read what `dump` wrote; nothing is known if there is no record."""
    if text is None:
        return ClockDifference()
    return ClockDifference(tuple(ClockSample(*row) for row in json.loads(text)["samples"]))


def sentence(difference: timedelta) -> str:
    """Describe a difference of more than a minute for a person, and what it means."""
    minutes = round(abs(difference) / timedelta(minutes=1))
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes % 60, "min")) if count]
    if difference > timedelta(0):
        means = "Radar is asked up to its own present only"
    else:
        means = "newer buckets are asked for when this clock reaches them"
    side = "ahead of" if difference > timedelta(0) else "behind"
    return f"the clock is {' '.join(parts)} {side} Radar's: {means}"


def radar_lag(lag: timedelta, ahead: timedelta) -> timedelta:
    """Return a *lag* of lastUpdated behind our clock as one behind Radar's present, which lies *ahead* before ours.

    A shorter lag was measured before our clock was ahead, because lastUpdated is never after Radar's present.
    """
    return lag - ahead if lag >= ahead else lag
