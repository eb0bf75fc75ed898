"""`collect`, then `export`: exactly the server's values, for one series and for a hundred, on both stores."""

import json
import time

from collector.interval import AggInterval
from collector.model import Question
from tests.harness.processes import Collector, holds_the_truth, profile_toml, simulating

_OWNERS = [f"Authority {number}, Inc." for number in range(100)]
_EACH = f'[profiles.filters]\nvalidation_level = ["DOMAIN"]\n[profiles.each]\nca_owner = {json.dumps(_OWNERS)}'


def test_one_series_of_each_interval_is_exported_exactly_as_the_server_has_it(tmp_path, database):
    intervals = {"quarters": "15m", "hours": "1h", "days": "1d", "weeks": "1w"}
    with simulating() as (simulator, url):
        collector = Collector(tmp_path, url, database)
        collector.configure(*(profile_toml(name, agg_interval, 20) for name, agg_interval in intervals.items()))
        since = time.time()
        collector.run("collect")
        queries = {name: Question(AggInterval(agg_interval), {}) for name, agg_interval in intervals.items()}
        assert holds_the_truth(collector, simulator, queries, 20, since)
    collector.assert_no_canary()


def test_a_hundred_series_are_equal_on_both_stores_and_to_the_server(tmp_path, empty_postgres_url):
    interval = AggInterval.ONE_HOUR
    queries = {
        f"owners/{owner}": Question(interval, {"caOwner": (owner,), "validationLevel": ("DOMAIN",)})
        for owner in _OWNERS
    }
    exports = []
    with simulating() as (simulator, url):
        for name, database in (("sqlite", "sqlite:///collector.db"), ("postgresql", empty_postgres_url)):
            (tmp_path / name).mkdir()
            collector = Collector(tmp_path / name, url, database)
            collector.configure(profile_toml("owners", "1h", 1, _EACH))
            since = time.time()
            collector.run("collect")
            exports.append(collector.export("--end", "2h"))
        assert holds_the_truth(collector, simulator, queries, 1, since)
    assert exports[0] == exports[1]
    assert exports[0].count("\n") > 100 * 20


def test_every_format_holds_the_same_points_and_a_file_is_the_same_as_a_pipe(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    lines = collector.export("--format", "jsonl").splitlines()
    assert len(lines) == sum(map(len, collector.points().values())) > 24
    assert collector.json("export") == [json.loads(line) for line in lines]
    told = collector.run("export", "-o", "points.csv").stderr
    assert f"points.csv: {len(lines)} points\n" in told
    assert "CC BY-NC 4.0" in told
    assert (collector.folder / "points.csv").read_text() == collector.export()


def test_collecting_again_changes_nothing(simulated_collector):
    _, collector = simulated_collector
    collector.configure(profile_toml())
    collector.run("collect")
    before = collector.export("--end", "2h")
    done = collector.run("collect")
    assert "0 revised" in done.stderr
    assert collector.export("--end", "2h") == before


def test_the_examples_ask_for_a_range_that_a_first_day_has(simulated_collector):
    """Those of the README and of `--help`, after one pass of a profile that goes no further back."""
    _, collector = simulated_collector
    collector.configure(profile_toml(days=None))
    collector.run("collect")
    assert "--start lies before" not in collector.call("export", "all", "--start", "12h").stderr
    example = ("--date-start", "6h", "--date-end", "now", "--agg-interval", "1h", "--format", "CSV")
    assert collector.call("query", *example).stdout.count("\n") > 5
