"""Snapshots on the command line."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.harness.processes import midnight, profile_toml

VALID = profile_toml("valid", days=3, more='[profiles.filters]\nexpiration_status = ["VALID"]\n')
TOO = "cannot be backfilled, because expirationStatus is judged at the moment of the request"


@pytest.fixture
def collected(simulated_collector):
    """A history and a snapshot, collected once."""
    _, collector = simulated_collector
    collector.configure(profile_toml("all"), VALID)
    collector.run("collect")
    return collector


def test_a_snapshot_is_exported_with_the_time_of_its_request(collected):
    done = collected.run("export", "valid")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["profile", "series", "timestamp", "value"]
    assert "valid: the snapshot of 20" in done.stderr
    lines = [json.loads(line) for line in collected.export("--format", "jsonl").splitlines()]
    moments = {line["series"]: line.get("asked_at") for line in lines}
    assert moments["all"] is None
    assert f"the snapshot of {moments['valid']}" in done.stderr
    assert json.loads(collected.export("valid", "--format", "json"))[0]["asked_at"] == moments["valid"]
    before = collected.run("export", "valid", "--as-of", "1d")
    assert len(before.stdout.splitlines()) == 1
    assert "the snapshot of" not in before.stderr
    assert f"the oldest one that can be asked for was requested at {moments['valid']}" in before.stderr


def test_an_export_has_no_points_outside_of_a_snapshot(collected):
    inside = collected.run("export", "valid", "--start", f"{midnight(2):%Y-%m-%d}")
    assert "absent" not in inside.stderr
    unpublished = collected.run("export", "valid", "--end", f"{midnight(-1):%Y-%m-%d}")
    assert len(unpublished.stdout.splitlines()) > len(inside.stdout.splitlines())
    refused = collected.run("export", "--start", f"{midnight(4):%Y-%m-%d}", "-o", "refused.csv", expect=1)
    assert f"valid: the range {midnight(4):%Y-%m-%d}T00:00:00Z.. lies outside of the newest snapshot" in refused.stderr
    assert f"covers {midnight(3):%Y-%m-%d}T00:00:00Z..20" in refused.stderr
    assert not (collected.folder / "refused.csv").exists()
    drawn = collected.run("plot", "valid", "--start", f"{midnight(4):%Y-%m-%d}", expect=1)
    assert "lies outside of the newest snapshot" in drawn.stderr


def test_parquet_has_a_column_for_it_only_if_there_are_snapshots(collected):
    parquet = pytest.importorskip("pyarrow.parquet")
    collected.run("export", "--format", "parquet", "-o", "both.parquet")
    table = parquet.read_table(collected.folder / "both.parquet")
    asked = {}
    for row in table.to_pylist():
        asked.setdefault(row["series"], set()).add(row["asked_at"])
    assert asked["all"] == {None}
    assert len(asked["valid"]) == 1
    assert None not in asked["valid"]
    collected.run("export", "all", "--format", "parquet", "-o", "all.parquet")
    assert "asked_at" not in parquet.read_table(collected.folder / "all.parquet").column_names


def test_status_query_plot_and_series_know_it(collected):
    (every, valid) = collected.json("status")["profiles"]
    assert (every["state"], valid["state"], valid["gaps"]) == ("fresh", "snapshot", 0)
    assert valid["points"] == len(collected.points()["valid"])
    ask = ["query", "--agg-interval", "1h", "--expiration-status", "VALID"]
    answer = json.loads(
        collected.run(*ask, "--date-start", f"{midnight(2):%Y-%m-%d}", "--date-end", f"{midnight(1):%Y-%m-%d}").stdout
    )
    assert len(answer["result"]["serie_0"]["values"]) == 25
    assert len(answer["result"]["meta"]["askedAt"]) == 1
    refused = collected.run(*ask, "--date-range", "7d", expect=2)
    assert "lies outside of the newest snapshot" in refused.stderr
    assert "valid" in collected.run("plot", "valid").stdout
    assert collected.json("gaps") == []


def test_a_snapshot_is_not_backfilled(collected):
    start = f"{midnight(9):%Y-%m-%d}"
    for named in (["valid"], ["all", "valid"]):
        done = collected.run("backfill", *named, "--start", start, "--dry-run", expect=2)
        assert f"valid {TOO}" in done.stderr
    collected.run("backfill", "--start", start)
    assert {series for (series,) in collected.rows("SELECT DISTINCT series_id FROM points")} == {1}
    assert collected.json("gaps") == []
    collected.configure(VALID)
    assert f"valid {TOO}" in collected.run("backfill", "--start", start, expect=2).stderr


def test_the_store_stays_sound(collected):
    collected.run("collect")
    collected.run("db", "verify")
    collected.run("db", "check")
    collected.run("db", "copy", "sqlite:///copy.db")
    assert "expirationStatus" not in collected.run("db", "dump").stdout
