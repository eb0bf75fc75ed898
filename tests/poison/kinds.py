"""The kinds of single plausible wrong answers, each a named function that spoils an honest answer.

A function of values gets, of each series of the answer, the values of those buckets that are in the phase, and returns
what stands in their places: None where the bucket is left out. A function of `meta` changes it in place. *dice* is the
source of chance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from collector.simulator import Fault
from collector.timestamps import rfc3339, utc
from tests.harness import faults

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_CAP = 168


# Values


def zeros(series, dice):
    return [[0] * len(values) for values in series]


def one_off_by_one(series, dice):
    at = dice.randrange(len(series))
    place = dice.randrange(len(series[at]))
    series[at][place] += 1
    return series


def doubled(series, dice):
    return [[2 * value for value in values] for values in series]


def halved(series, dice):
    return [[value // 2 for value in values] for values in series]


def swapped(series, dice):
    """Each series has the values of the next one of the same request."""
    return [*series[1:], series[0]]


def shifted(series, dice):
    """Each bucket has the value of the bucket before it."""
    return [[values[0], *values[:-1]] for values in series]


def all_equal(series, dice):
    return [[values[0]] * len(values) for values in series]


# Absences


def one_absent(series, dice):
    for values in series:
        values[dice.randrange(len(values))] = None
    return series


def begin_absent(series, dice):
    return [[None] * (1 + len(values) // 8) + values[1 + len(values) // 8 :] for values in series]


def end_absent(series, dice):
    return [values[: -1 - len(values) // 8] + [None] * (1 + len(values) // 8) for values in series]


def half_absent(series, dice):
    return [values[: len(values) // 2] + [None] * (len(values) - len(values) // 2) for values in series]


def every_other_absent(series, dice):
    return [[value if at % 2 else None for at, value in enumerate(values)] for values in series]


def all_absent(series, dice):
    return [[None] * len(values) for values in series]


def one_series_absent(series, dice):
    at = dice.randrange(len(series))
    return [[None] * len(values) if at == place else values for place, values in enumerate(series)]


def newest_of_a_cap(series, dice):
    return [[None] * (len(values) - _CAP) + values[-_CAP:] for values in series]


def oldest_of_a_cap(series, dice):
    return [values[:_CAP] + [None] * (len(values) - _CAP) for values in series]


# Meta


def updated(meta, dice, by):
    """Say another `lastUpdated`."""
    meta["lastUpdated"] = rfc3339(utc(meta["lastUpdated"]) + by)


def unit(meta, dice, word):
    meta["units"] = [{"name": "*", "value": word}]


def no_unit(meta, dice):
    meta["units"] = []


def normalization(meta, dice, word):
    meta["normalization"] = word


def date_range(meta, dice, by):
    """Say another range than was asked for."""
    for each in meta["dateRange"]:
        each.update({name: rfc3339(utc(moment) + by) for name, moment in each.items()})


def half_a_date_range(meta, dice):
    for each in meta["dateRange"]:
        start, end = utc(each["startTime"]), utc(each["endTime"])
        each["startTime"] = rfc3339((start + (end - start) / 2).replace(minute=0))


def no_annotations(meta, dice):
    meta["confidenceInfo"]["annotations"] = []


def annotation(meta, dice, at):
    """Add an annotation of five hours, *at* a part of the range."""
    start, end = (utc(meta["dateRange"][0][name]) for name in ("startTime", "endTime"))
    start += (end - start) * at
    meta["confidenceInfo"]["annotations"].append(
        {
            "dataSource": "CT",
            "description": "An annotation of one answer",
            "startDate": rfc3339(start.replace(microsecond=0) + HOUR),
            "endDate": rfc3339(start.replace(microsecond=0) + 5 * HOUR),
            "eventType": "OUTAGE",
            "linkedUrl": "",
            "isInstantaneous": False,
        }
    )


def no_confidence(meta, dice):
    meta["confidenceInfo"] = None


# Kinds

PHASES = ("first", "young", "settling", "last", "settled", "forced", "confirming")
"""Which answer is spoiled, and of it the buckets that are in the phase:

first: those past `settle` in the first answer about them; young: those that every fire reads; settling: older ones;
last: those that are past `settle` within a day; settled: those past it, in an answer of the service; forced: the same
in an answer to `backfill --force`; confirming: in an answer that is to confirm what is stored.
"""


@dataclass(frozen=True)
class Kind:
    """One kind of wrong answer.

    *values* or *meta* spoils an answer, or *fault* takes its place. *answers* in a row are spoiled that come within
    *lasting*. *least* is how many series such an answer has, *longest* how many values one has at least. Where not
    *heals*, status may say instead that history is incomplete. Only an answer of *interval* is spoilt, if there is one.
    """

    name: str
    phase: str = ""
    values: Callable | None = None
    meta: Callable | None = None
    fault: Fault | None = None
    answers: float = 1
    lasting: timedelta = timedelta(days=1000)
    least: int = 1
    longest: int = 2
    heals: bool = True
    is_hole: bool = False
    interval: str = ""

    def intervals(self, settle):
        """The intervals of which an answer can be spoilt so."""
        if self.interval:
            return (self.interval,)
        if self.least > 1 or self.phase == "confirming":
            return ("1h",)
        if self.longest > _CAP:
            return ("1h",) if self.adds else ("15m", "1h") if settle > 10 * DAY else ("15m",)
        if self.phase == "first":
            return "1h", "1d"
        if self.phase in ("young", "last", "settled") or (self.phase == "settling" and settle < 10 * DAY):
            return "15m", "1h"
        return "15m", "1h", "1d"

    @property
    def adds(self):
        """Whether the profiles with history are added at the moment, not there from the start."""
        return self.phase in ("first", "confirming")

    def __str__(self):
        return f"{self.name}, {self.phase}" if self.phase else self.name


@dataclass(frozen=True)
class Row:
    """One wrong thing in each phase."""

    name: str
    kinds: tuple[Kind, ...]

    def __str__(self):
        return self.name


_AT_EACH_PHASE = {
    "zeros": zeros,
    "one value off by one": one_off_by_one,
    "values doubled": doubled,
    "values halved": halved,
    "values of another series": swapped,
    "values shifted by one bucket": shifted,
    "values all equal": all_equal,
    "a bucket absent": one_absent,
    "the begin absent": begin_absent,
    "the end absent": end_absent,
    "half absent": half_absent,
    "every other bucket absent": every_other_absent,
    "all absent": all_absent,
    "one series absent": one_series_absent,
}
_OF_SEVERAL = {swapped, one_series_absent}

_FAULTS = {
    "400 with 2001": faults.api_error(400, 2001),
    "422 with 2002": faults.api_error(422, 2002),
    "429 with Retry-After": faults.too_many("300"),
    "500": faults.api_error(500, 2000),
    "503": faults.html(503),
    "520 in HTML": faults.html(520),
    "401": faults.api_error(401, 10000),
    "403": faults.api_error(403, 9109),
    "a cut body": faults.truncated(),
    "HTML with 200": faults.html(200),
    "success false": faults.unsuccessful(),
    "result null": faults.null_result(),
    "a closed connection": faults.closed(),
}

_META = (
    Kind("lastUpdated 23 hours ahead", meta=partial(updated, by=23 * HOUR)),
    Kind("lastUpdated 3 days ahead", meta=partial(updated, by=3 * DAY)),
    Kind("lastUpdated a year ahead", meta=partial(updated, by=365 * DAY)),
    Kind("lastUpdated 3 days ahead in five answers", meta=partial(updated, by=3 * DAY), answers=5),
    Kind("lastUpdated an hour back", meta=partial(updated, by=-HOUR)),
    Kind("lastUpdated 2 days back", meta=partial(updated, by=-2 * DAY)),
    Kind("lastUpdated 30 days back", meta=partial(updated, by=-30 * DAY)),
    Kind("lastUpdated an hour back in five answers", meta=partial(updated, by=-HOUR), answers=5),
    Kind("lastUpdated 2 days back in five answers", meta=partial(updated, by=-2 * DAY), answers=5),
    Kind("lastUpdated 30 days back in five answers", meta=partial(updated, by=-30 * DAY), answers=5),
    Kind("another unit", meta=partial(unit, word="requests")),
    Kind("a unit in capitals", meta=partial(unit, word=" Certificates")),
    Kind("a unit in capitals for ever", meta=partial(unit, word="Certificates"), answers=10**6),
    Kind("no unit", meta=no_unit),
    Kind("PERCENTAGE", meta=partial(normalization, word="PERCENTAGE")),
    Kind("MIN0_MAX", meta=partial(normalization, word="MIN0_MAX")),
    Kind("a dateRange a day early", meta=partial(date_range, by=-DAY)),
    Kind("a dateRange a day late", meta=partial(date_range, by=DAY)),
    Kind("half a dateRange", meta=half_a_date_range),
    Kind("no annotations", meta=no_annotations),
    Kind("an annotation more", meta=partial(annotation, at=0.8)),
    Kind("an annotation more at the begin", meta=partial(annotation, at=0)),
    Kind("no confidence", meta=no_confidence),
)
_AT_FIRST = tuple(
    replace(kind, phase="first")
    for kind in _META
    if kind.answers == 1 and kind.name not in ("no confidence", "a unit in capitals")
)
_CAPPED = (
    Kind("168 newest values", values=newest_of_a_cap, longest=_CAP + 1),
    Kind("168 oldest values", values=oldest_of_a_cap, longest=_CAP + 1),
    Kind("168 newest values always", values=newest_of_a_cap, longest=_CAP + 1, answers=10**6, heals=False),
    Kind("168 oldest values always", values=oldest_of_a_cap, longest=_CAP + 1, answers=10**6, heals=False),
    Kind("168 newest values", "first", newest_of_a_cap, longest=_CAP + 1),
    Kind("168 oldest values", "first", oldest_of_a_cap, longest=_CAP + 1),
)
UNSPOILT = (
    *(Kind(f"nothing wrong of {one}", answers=0, interval=one) for one in ("15m", "1h", "1d")),
    *(Kind(f"nothing wrong of {one}", "first", answers=0, interval=one) for one in ("1h", "1d")),
)
_FROZEN = Kind("lastUpdated frozen for a day", meta=updated, answers=10**6, lasting=DAY)

AT_EACH_PHASE = tuple(
    Row(name, tuple(Kind(name, phase, change, least=1 + (change in _OF_SEVERAL)) for phase in PHASES))
    for name, change in _AT_EACH_PHASE.items()
)
ONCE = (
    Kind("an empty answer", values=all_absent, longest=0),
    _FROZEN,
    *_META,
    *_AT_FIRST,
    *_CAPPED,
    *(Kind(name, fault=fault) for name, fault in _FAULTS.items()),
    Kind("500 for two hours", fault=faults.api_error(500, 2000), answers=10**6, lasting=2 * HOUR),
    Kind("a hole upstream", answers=0, is_hole=True),
)
KINDS = (*(kind for row in AT_EACH_PHASE for kind in row.kinds), *ONCE)


@dataclass
class Injection:
    """Spoils what is chosen of the answers from *since* on: a rule for the simulator's script."""

    kind: Kind
    since: float
    lookback: timedelta
    settle: timedelta
    dice: object
    interval: str
    open: bool = True
    hits: list = field(default_factory=list)

    def __call__(self, received):
        """The fault for a request, or None."""
        kind = self.kind
        if received.at < self.since or received.request is None or not self.open or len(self.hits) >= kind.answers:
            return None
        if self.hits and received.at >= self.hits[0] + kind.lasting.total_seconds():
            return None
        if received.series < kind.least or not self._chosen(received):
            return None
        self.hits.append(received.at)
        return kind.fault or faults.edit(str(kind), partial(self._spoil, received))

    def _chosen(self, received):
        confirming = self.kind.phase == "confirming"
        if _confirms(received) != confirming:
            return False
        if not confirming and received.request.agg_interval != self.interval:
            return False
        if self.kind.values is None:
            return True
        step = received.request.agg_interval.seconds
        inside = [self._in_phase(received, range(s.start, s.end, step), step) for s in received.request.series]
        return sum(len(places) >= self.kind.longest for places in inside) >= self.kind.least

    def _in_phase(self, received, starts, step):
        """The places of the buckets that are in the phase, and could be published."""
        youngest, oldest = self._ages()
        newest = received.at - step - 3600 - youngest.total_seconds()
        floor = received.at - step - oldest.total_seconds()
        return [at for at, start in enumerate(starts) if floor <= start <= newest]

    def _ages(self):
        ever = timedelta(days=10_000)
        return {
            "": (timedelta(0), ever),
            "young": (timedelta(0), self.lookback),
            "settling": (self.lookback, self.settle - DAY),
            "last": (self.settle - DAY, self.settle),
        }.get(self.kind.phase, (self.settle + HOUR, ever))

    def _spoil(self, received, document):
        if self.kind.meta:
            return self._spoil_meta(received, document["result"]["meta"])
        step = received.request.agg_interval.seconds
        members = [document["result"][name] for name in received.names]
        starts = [[int(utc(text).timestamp()) for text in member["timestamps"]] for member in members]
        places = [self._in_phase(received, each, step) for each in starts]
        # A long window is asked for in several positions, of which not all have buckets in the phase.
        hit = [(member, ats) for member, ats in zip(members, places, strict=True) if ats]
        if len(hit) < self.kind.least:
            return None
        honest = [[int(member["values"][at]) for at in ats] for member, ats in hit]
        for (member, ats), spoilt in zip(hit, self.kind.values(honest, self.dice), strict=True):
            _put(member, dict(zip(ats, spoilt, strict=False)))
        return None

    def _spoil_meta(self, received, meta):
        if self.kind is _FROZEN:
            meta["lastUpdated"] = rfc3339(utc(meta["lastUpdated"]) - timedelta(seconds=received.at - self.hits[0]))
        else:
            self.kind.meta(meta, self.dice)


def _confirms(received):
    """Whether days are asked of what is collected by the hour."""
    return any(
        asked.query.agg_interval == "1d" and "caOwner" in asked.query.filters for asked in received.request.series
    )


def _put(member, spoilt):
    """Write values over those at some places; None leaves the bucket out."""
    values = {**dict(enumerate(member["values"])), **{at: v if v is None else str(v) for at, v in spoilt.items()}}
    kept = [at for at in sorted(values) if values[at] is not None]
    member.update(timestamps=[member["timestamps"][at] for at in kept], values=[values[at] for at in kept])
