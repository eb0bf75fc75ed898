import logging

from collector.cli import progress
from collector.store import Progress, Standing
from tests.acceptance.world import eventually


def test_a_log_gets_a_line_a_minute_also_while_nothing_happens(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_EVERY", 0.01)
    with caplog.at_level(logging.INFO), progress.showing(600) as heard:
        heard(Standing("running", Progress(buckets=10, buckets_done=4, requests=3, points_inserted=4)))
        eventually(lambda: len(caplog.records) >= 3)
    assert {(line.message, line.buckets, line.requests) for line in caplog.records} == {("backfill", "4/10", 3)}


def test_before_the_first_news_there_is_no_line(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_EVERY", 60)
    with caplog.at_level(logging.INFO), progress.showing(600):
        pass
    assert caplog.records == []
