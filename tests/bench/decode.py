"""What reading an answer costs: decode and check of a body, beside `orjson.loads` of the same body.

The floor returns texts as they came: no series, no numbers, no meta, no search for equal keys. Both are CPU time.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import orjson

from collector.interval import AggInterval
from collector.model import Answer, Batch, Question, Slice, Window
from collector.radar.response import parse_answer
from collector.timestamps import from_epoch, rfc3339
from tests.bench.workload import FIRST

_QUARTER = AggInterval.FIFTEEN_MINUTES
_DICE = random.Random(1)
_MOST = 1_000_000
_SECONDS_A_RUN = 0.002


@dataclass(frozen=True, slots=True)
class Case:
    """A body of one series with so many *values* at 15m, of which some buckets are missing.

    *text* writes one value. *goal* is the largest ratio that is wanted; None if there is none.
    """

    name: str
    values: int
    text: Callable[[], str | float | None]
    goal: float | None = None
    missing: int = 0
    separators: tuple[str, str] = (",", ":")


def count() -> str:
    """A count, as in most answers."""
    return str(_DICE.randrange(_MOST))


CASES = (
    Case("672 values", 672, count, 2.5),
    Case("10,000 values", 10_000, count, 2.5),
    Case("one bucket missing", 672, count, 3.5, missing=1),
    Case("exponents", 672, lambda: f"{_DICE.randrange(1, 10_000) / 1_000}e-05", 5),
    Case("one value", 1, count),
    Case("decimals", 672, lambda: f"{_DICE.random():.6f}"),
    Case("doubles", 672, lambda: repr(_DICE.random())),
    Case("one in ten null", 672, lambda: _DICE.choice([None, *"123456789"])),
    Case("one in three missing", 672, count, missing=224),
    Case("blanks in the JSON", 672, count, separators=(", ", ": ")),
    Case("numbers for texts", 672, lambda: _DICE.randrange(_MOST)),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of CPU for one body, the least of many runs."""

    case: Case
    floor: float
    collector: float

    @property
    def ratio(self) -> float:
        """How many times as much the collector needs."""
        return self.collector / self.floor


def measure(runs: int, cases: tuple[Case, ...] = CASES) -> list[Measured]:
    """Time both by turns."""
    return [_measure(case, runs) for case in cases]


def body_and_batch(case: Case) -> tuple[bytes, Batch]:
    """Render an answer, and the request for it."""
    window = Window(FIRST, FIRST + case.values * _QUARTER.step)
    present = sorted(random.Random(2).sample(range(case.values), case.values - case.missing))
    begin = int(FIRST.timestamp())
    timestamps = [rfc3339(from_epoch(begin + number * _QUARTER.seconds)) for number in present]
    meta = {
        "aggInterval": _QUARTER.name,
        "confidenceInfo": {"level": 5, "annotations": []},
        "dateRange": [{"startTime": rfc3339(window.start), "endTime": rfc3339(window.end)}],
        "lastUpdated": rfc3339(window.end + timedelta(days=7)),
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
    }
    series = {"timestamps": timestamps, "values": [case.text() for _ in present]}
    document = {"success": True, "errors": [], "messages": [], "result": {"meta": meta, "serie_0": series}}
    return json.dumps(document, separators=case.separators).encode(), Batch((Slice(Question(_QUARTER, {}), window),))


def _measure(case: Case, runs: int) -> Measured:
    body, batch = body_and_batch(case)
    _check(parse_answer(body, batch), body)
    kinds: dict[str, Callable[[], object]] = {
        "floor": lambda: orjson.loads(body),
        "collector": lambda: parse_answer(body, batch),
    }
    repeats = {kind: max(1, int(_SECONDS_A_RUN / _timed(once, 1))) for kind, once in kinds.items()}
    least = dict.fromkeys(kinds, float("inf"))
    for _ in range(runs):
        for kind, once in kinds.items():
            least[kind] = min(least[kind], _timed(once, repeats[kind]))
    return Measured(case, **least)


def _timed(once: Callable[[], object], repeats: int) -> float:
    begun = time.process_time_ns()
    for _ in range(repeats):
        once()
    return max(time.process_time_ns() - begun, 1) / repeats / 1e9


def _check(answer: Answer, body: bytes) -> None:
    """Both must have read the same values."""
    expected = [float(text) for text in orjson.loads(body)["result"]["serie_0"]["values"] if text is not None]
    if [*answer.series[0].values] != expected:
        raise SystemExit("the answer is not what the body says")


def table(measured: list[Measured]) -> str:
    """Write a line for each case; the last column is the goal, where there is one."""
    lines = [f"{'body':<22}{'us collector':>14}{'floor':>8}{'ratio':>8}{'goal':>8}"]
    for one in measured:
        goal = "" if one.case.goal is None else f"{one.case.goal:.1f}"
        times = f"{one.collector * 1e6:>14.1f}{one.floor * 1e6:>8.1f}{one.ratio:>8.2f}{goal:>8}"
        lines.append(f"{one.case.name:<22}{times}".rstrip())
    return "\n".join(lines)
