"""Whether values with an unknown normalization can be compared across answers; two answers decide. Pure functions.

Values that are scaled over one answer differ between a window and a part of it that lacks the window's extremes.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from collector.model import Points, Window
from collector.timestamps import from_epoch, rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

Word = Literal["absolute", "relative", "undecided"]

LEAST_DIFFERENT = 3
"""Number of different values other than zero that must agree, because fewer may be equal by chance or on any scale."""
ASK_AGAIN = timedelta(days=1)
_BUCKETS = {timedelta(weeks=1): 52, timedelta(days=1): 56}
_MAX_BUCKETS = 96


class Verdict(NamedTuple):
    """The result of comparing two answers, for the windows *long* and *short*, with the normalization *name*.

    *buckets* values were compared, and *differing* of them were not equal.
    """

    name: str
    verdict: Word
    judged_at: datetime
    long: str = ""
    short: str = ""
    buckets: int = 0
    differing: int = 0

    @property
    def is_absolute(self) -> bool:
        """Whether values of several answers make one history."""
        return self.verdict == "absolute"

    def holds(self, now: datetime) -> bool:
        """Return whether the verdict needs no further answers at *now*."""
        return self.verdict != "undecided" or timedelta(0) <= now - self.judged_at < ASK_AGAIN

    def sentence(self) -> str:
        """Return the verdict as a sentence for the operator."""
        begin = f"normalization: the word {self.name!r} is not known; "
        if self.verdict == "undecided":
            return begin + "too few old values tell what it means, so each answer stands alone for now"
        pair = f"of the {self.buckets} values that the answers over {self.long} and {self.short} have in common, "
        if self.is_absolute:
            return begin + pair + "all agree, so its values make one history"
        return begin + pair + f"{self.differing} differ, so each answer stands alone"

    def dump(self) -> str:
        """Return the verdict as JSON."""
        names = ("name", "verdict", "long", "short", "buckets", "differing")
        return json.dumps({name: getattr(self, name) for name in names} | {"judged_at": rfc3339(self.judged_at)})


def load(text: str) -> Verdict:
    """Parse the JSON of `Verdict.dump`."""
    content = json.loads(text)
    return Verdict(**content | {"judged_at": utc(content["judged_at"])})


def long_window(end: datetime, step: timedelta, span: timedelta) -> Window:
    """Return the longer window to request: up to *end*, at most *span* long."""
    most = _BUCKETS.get(step, _MAX_BUCKETS)
    return Window(end - min(most, span // step) * step, end)


def short_window(points: Points, step: int) -> Window | None:
    """Return the part of the longer answer to request again: its longest part without its ends and extreme values.

    It is at most half as long. None if it would contain too few different values for a verdict.
    """
    if not points.values:
        return None
    extremes = {0, len(points.values) - 1, points.values.index(max(points.values))}
    extremes.add(points.values.index(min(points.values)))
    runs: list[list[int]] = [[]]
    for at, timestamp in enumerate(points.timestamps):
        if at in extremes or (runs[-1] and timestamp - points.timestamps[runs[-1][-1]] != step):
            runs.append([])
        if at not in extremes:
            runs[-1].append(at)
    run = max(runs, key=len)[: len(points.values) // 2]
    if not _has_enough_values([points.values[at] for at in run]):
        return None
    return Window(from_epoch(points.timestamps[run[0]]), from_epoch(points.timestamps[run[-1]] + step))


def _has_enough_values(values: Sequence[float]) -> bool:
    return len({value for value in values if value}) >= LEAST_DIFFERENT


def compare(long: Points, short: Points) -> tuple[Word, int, int]:
    """Compare two answers: the verdict, the number of common values, and how many of them differ."""
    values = dict(zip(long.timestamps, long.values, strict=True))
    common = [(values[t], v) for t, v in zip(short.timestamps, short.values, strict=True) if t in values]
    differing = sum(long_value != short_value for long_value, short_value in common)
    if not _has_enough_values([value for value, _ in common]):
        return "undecided", len(common), differing
    return ("relative" if differing else "absolute"), len(common), differing
