"""How far our clock is ahead of Radar's, by the `Date` headers of responses. Pure functions: callers read the clock.

Radar made a response between its request and its arrival, at the second of its `Date` header. That limits the
difference. One header may be wrong, so a difference counts only if two responses agree, or if a response confirms it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import NamedTuple, Self

NAMED_FROM = timedelta(minutes=1)
"""A smaller difference is ignored, because the publication delay is longer and requests end 15 minutes earlier."""
_KEPT = 8
_SLACK_SECONDS = 5.0
"""Two responses agree even if a clock was adjusted by this much between them."""
_ABSURD = timedelta(days=400)
_CONFIRMED_UP_TO = timedelta(days=31)
_SECOND = timedelta(seconds=1)
_SET_BACK = timedelta(hours=1)
"""A sample this much newer than the present was taken before our clock was set back. Clocks of replicas differ."""


class ClockSample(NamedTuple):
    """By one response, our clock is *least* to *most* seconds ahead of Radar's; negative values mean behind.

    *confirmed*: the response rejected the request with a text that its end is in the future. *at* is when the response
    arrived by our clock, in epoch seconds; None in a record of an earlier version.
    """

    least: float
    most: float
    confirmed: bool = False
    at: float | None = None

    def agrees(self, other: ClockSample) -> bool:
        """Return whether one difference fits both."""
        return max(self.least, other.least) <= min(self.most, other.most) + _SLACK_SECONDS

    def confirm(self) -> ClockSample:
        """Return the sample as confirmed by the text of its response; a very large difference needs two responses."""
        return self._replace(confirmed=self.most <= _CONFIRMED_UP_TO.total_seconds())


def sample(date: datetime | None, sent_at: datetime, received_at: datetime) -> ClockSample | None:
    """Return the sample of a response with the `Date` *date*; None without a date or with an absurd one.

    *sent_at* and *received_at* are times of our clock: when the request was sent and when the headers arrived.
    """
    if date is None or sent_at > received_at or abs(received_at - date) > _ABSURD:
        return None
    least, most = (sent_at - date - _SECOND).total_seconds(), (received_at - date).total_seconds()
    return ClockSample(least, most, at=received_at.timestamp())


class ClockDifference(NamedTuple):
    """The difference that the newest responses show; *samples* has the newest first."""

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
        difference = self.found
        return difference if difference is not None and abs(difference) > NAMED_FROM else None

    @property
    def ahead(self) -> timedelta:
        """How far our clock is ahead of Radar's; zero if our clock is behind, or if the difference is small."""
        return max(self.named or timedelta(0), timedelta(0))

    def at(self, now: datetime) -> Self:
        """Return the difference without samples after *now*, because our clock has been set back since then."""
        latest = (now + _SET_BACK).timestamp()
        samples = tuple(sample_ for sample_ in self.samples if sample_.at is None or sample_.at <= latest)
        return self if samples == self.samples else self._replace(samples=samples)

    def after(self, newest: ClockSample) -> Self:
        """Return the difference with one more sample."""
        return self._replace(samples=(newest, *self.samples)[:_KEPT])

    def is_news(self, known: ClockDifference) -> bool:
        """Return whether this must replace *known* on record, because it differs or is about to differ."""
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
        """Return the record as JSON."""
        difference = self.found
        rows = [[sample_.least, sample_.most, sample_.confirmed, sample_.at] for sample_ in self.samples]
        return json.dumps({"seconds": None if difference is None else difference.total_seconds(), "samples": rows})


def load(text: str | None) -> ClockDifference:
    """Parse the JSON of `ClockDifference.dump`; None means that there is no record, so nothing is known."""
    if text is None:
        return ClockDifference()
    return ClockDifference(tuple(ClockSample(*row) for row in json.loads(text)["samples"]))


def sentence(difference: timedelta) -> str:
    """Return a difference of more than a minute, and its effect, as a sentence for the operator."""
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
    """Convert a *lag* of lastUpdated behind our clock to a lag behind Radar's present, which is *ahead* earlier.

    A shorter lag was measured before our clock was ahead, because lastUpdated is never after Radar's present.
    """
    return lag - ahead if lag >= ahead else lag
