"""A year of 50 series, as a user asks for it: complete and exact, hardly a request too many, and never a 429.

At 15m it is 1.75 million points, so the ordinary run takes it at 1h: as many requests under the same limits.
"""

import json
from collections import defaultdict
from datetime import timedelta

import pytest

from collector.contract.response import BAD_REQUEST, TOO_COSTLY
from collector.interval import AggInterval
from collector.model import Question, Window
from tests.bench.requests import SERIES, Cell, fewest
from tests.harness.processes import Collector, midnight, profile_toml, simulating, truth

_OWNERS = [f"Owner {number}" for number in range(SERIES)]


def hiding(cell, interval):
    """The simulator's options for the limits of *cell* at *interval*."""
    refusal = TOO_COSTLY if cell.way == "422" else BAD_REQUEST
    return {
        "max_span": {interval: timedelta(days=cell.days)},
        "span_error": refusal,
        "series_per_request": cell.positions,
        "series_error": refusal,
    }


def stored(collector):
    """{label: {timestamp: value}}, read past the collector."""
    seconds = "timestamp" if collector.database.startswith("sqlite") else "extract(epoch FROM timestamp)::bigint"
    found = defaultdict(dict)
    for series, timestamp, value in collector.rows(f"SELECT series, {seconds}, value FROM history"):
        found[series][timestamp] = value
    return found


@pytest.mark.parametrize(
    ("cell", "interval", "kind"),
    [
        (Cell(31, 20, "422"), AggInterval.ONE_HOUR, "sqlite"),
        pytest.param(Cell(7, 20), AggInterval.FIFTEEN_MINUTES, "sqlite", marks=pytest.mark.campaign),
        pytest.param(Cell(7, 20, "422"), AggInterval.FIFTEEN_MINUTES, "postgresql", marks=pytest.mark.campaign),
    ],
)
def test_a_year_of_50_series_is_complete_and_exact_in_few_requests(tmp_path, request, cell, interval, kind):
    year = Window(midnight(366), midnight(1))
    database = "sqlite:///year.db" if kind == "sqlite" else request.getfixturevalue("empty_postgres_url")
    with simulating(**hiding(cell, interval)) as (simulator, url):
        collector = Collector(tmp_path, url, database)
        collector.configure(profile_toml("many", interval, None, f"[profiles.each]\nca_owner = {json.dumps(_OWNERS)}"))
        start, end = (f"{moment:%Y-%m-%d}" for moment in (year.start, year.end))
        collector.run("backfill", "--start", start, "--end", end, seconds=600)
        found = stored(collector)
        queries = {f"many/{owner}": Question(interval, {"caOwner": (owner,)}) for owner in _OWNERS}
        assert found.keys() == queries.keys()
        for label, query in queries.items():
            assert found[label] == truth(simulator, query, year)
        answers = [received.status for received in simulator.requests]
        assert set(answers) == {200, 422 if cell.way == "422" else 400}
        assert len(answers) <= 1.15 * fewest(cell)
