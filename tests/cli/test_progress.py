import logging
import os
import pty
import re
import sys

import pytest

from collector import logs
from collector.cli import progress
from collector.store import Budget, JobProgress, JobStatus
from tests.harness.processes import eventually


def test_a_log_gets_a_line_a_minute_also_without_progress(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_SECONDS", 0.01)
    with caplog.at_level(logging.INFO), progress.progress_view() as shown:
        shown.show_budget(Budget(600, 540, None))
        shown.show_job(JobStatus("running", JobProgress(buckets=10, buckets_done=4, requests=3, points_inserted=4)))
        eventually(lambda: len(caplog.records) >= 3)
    said = {(line.message, line.buckets, line.requests, line.budget) for line in caplog.records}
    assert said == {("backfill", "4/10", 3, 60)}


def test_no_line_is_written_before_the_first_status(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_SECONDS", 60)
    with caplog.at_level(logging.INFO), progress.progress_view():
        pass
    assert caplog.records == []


@pytest.mark.parametrize(
    ("used", "left"),
    [(100, "0:00:30"), (400, "0:00:50"), (570, "0:02:15"), (600, "0:02:30")],
    ids=["enough is free", "a third of it waits", "hardly any is free", "none is free"],
)
def test_the_time_left_respects_the_budget(used, left):
    known = JobProgress(buckets=400, buckets_done=100, requests=100)
    assert progress.remaining(JobProgress(), known, Budget(600, used, None), 10) == left


def test_the_time_left_ignores_the_progress_of_earlier_runs():
    first, known = (JobProgress(buckets=400, buckets_done=done, requests=done) for done in (90, 100))
    assert progress.remaining(first, known, Budget(600, 0, None), 10) == "0:05:00"


def test_no_time_left_is_shown_before_the_first_bucket():
    assert progress.remaining(JobProgress(), JobProgress(buckets=400), Budget(600, 0, None), 10) == ""


def test_while_there_is_a_bar_log_lines_stand_above_it(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        monkeypatch.setattr(logging.getLogger("collector"), "level", logging.NOTSET)
        logs.configure("info", "text")
        with progress.progress_view() as shown:
            terminal.write("before the first news\n")
            shown.show_job(JobStatus("queued", JobProgress()), 7)
            logging.getLogger("collector").warning("fetch")
        logging.getLogger("collector").warning("afterwards")
        erased = _until(screen, b"afterwards\r\n").replace(b"\r\x1b[2K", b"\n")
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\r", b"", erased).decode()
    assert text.startswith("before the first news\n")
    for line in (r".* queued behind backfill 7", r"\S+Z warning fetch", r"\S+Z warning afterwards"):
        assert re.search(f"^{line}$", text, re.MULTILINE)


def _until(screen, word):
    found = b""
    while word not in found:
        found += screen.read(4096)
    return found
