"""Whatever the operator gets wrong is a sentence, an exit code, and never a traceback."""

import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.harness.fork_server import fork_server
from tests.harness.processes import COLLECTOR, Collector, profile_toml, simulating

_AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Root may write anywhere, but for these capabilities."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with simulating() as (_, url):
        collector = Collector(tmp_path_factory.mktemp("filled"), url)
        collector.configure(profile_toml())
        collector.run("collect")
        yield collector


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("collcet",), "No such command"),
        (("collect", "--fast"), "No such option"),
        (("collect", "al"), 'did you mean "all"?'),
        (("export", "al"), 'did you mean "all"?'),
        (("fetches", "--profile", "al"), 'did you mean "all"?'),
        (("export", "--start", "yesterday"), "is not a time"),
        (("export", "--start", "9999999d"), "is not a time"),
        (("export", "--format", "xls"), "xls"),
        (("status", "--config", "nowhere.toml"), "nowhere.toml"),
        (("status", "--config", "."), "director"),
        (("status", "--config", "collector.db"), "collector.db"),
        (("revisions", "--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_argument_is_exit_2(filled, arguments, told):
    assert told in filled.call(*arguments, expect=2).stderr


_FILES = [("export", "-o"), ("plot", "all", "-o"), ("config", "init"), ("db", "backup")]


@pytest.mark.parametrize("command", _FILES, ids=" ".join)
def test_a_file_that_cannot_be_created_is_exit_2_of_every_command(filled, command):
    told = filled.call(*command, "/nowhere/file.png", expect=2).stderr
    assert told.startswith("collector: ")
    assert "/nowhere/file.png" in told


_SAME = ("--start", "2026-03-01", "--end", "2026-03-01")
_RANGES = [
    ("export",),
    ("plot", "all"),
    ("fetches",),
    ("gaps",),
    ("revisions",),
    ("annotations",),
    ("backfill", "--dry-run"),
]


@pytest.mark.parametrize("command", _RANGES, ids=" ".join)
def test_a_range_that_is_empty_is_exit_2_of_every_command(filled, command):
    assert "2026-03-01T00:00:00Z" in filled.call(*command, *_SAME, expect=2).stderr


def test_a_range_in_which_nothing_is_stored_is_exit_1_where_it_is_to_be_shown(filled):
    range_ = ("--start", "2026-03-01", "--end", "2026-03-02")
    assert "stored are" in filled.call("plot", "all", *range_, expect=1).stderr
    query = ("query", "--date-start", "2026-03-01", "--date-end", "2026-03-02", "--agg-interval", "1h")
    assert "Nothing is stored" in filled.call(*query, expect=1).stderr
    assert "1h buckets absent" in filled.call("export", *range_).stderr


def test_a_reader_that_goes_away_is_no_error(filled):
    script = f"{' '.join(COLLECTOR)} export | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script], cwd=filled.folder, env=filled.environ, capture_output=True, text=True, check=False
    )
    assert done.stdout == "profile,series,timestamp,value\n"
    assert "Traceback" not in done.stderr


_QUERY = ("query", "--date-start", "6h", "--date-end", "now", "--agg-interval", "1h")
_PRINTING = [
    ("--help",),
    ("plot", "--help"),
    ("status",),
    ("series",),
    ("plot", "all"),
    ("fetches",),
    ("gaps", "--format", "json"),
    _QUERY,
    ("export",),
    ("db", "dump"),
    ("db", "dump", "--digest"),
    ("config", "show"),
    ("config", "init", "-"),
]


@pytest.mark.parametrize("arguments", _PRINTING, ids=" ".join)
def test_output_on_a_full_disk_is_a_sentence(filled, arguments):
    with Path("/dev/full").open("w") as full, tempfile.TemporaryFile("w+") as err:
        process = fork_server().fork(arguments, filled.folder, dict(filled.environ), (full, err))
        assert process.wait(30) == 1
        err.seek(0)
        assert err.read() == "collector: cannot write to stdout: no space left on device\n"


def _in_a_shell(filled, script, **environ):
    return subprocess.run(
        ["bash", "-c", script.format(" ".join(COLLECTOR))],
        cwd=filled.folder,
        env={**filled.environ, **environ},
        capture_output=True,
        check=False,
    )


def test_output_that_is_closed_is_a_sentence_and_a_reader_that_has_gone_is_none(filled):
    done = _in_a_shell(filled, "{0} status >&-; echo $? >code; {0} --help | true; echo ${{PIPESTATUS[0]}} >>code")
    assert done.stderr == b"collector: cannot write to stdout: it is closed\n"
    assert (filled.folder / "code").read_text() == "1\n1\n"


def test_a_log_that_cannot_be_written_stops_nothing(filled):
    done = _in_a_shell(filled, "{0} export 2>/dev/full && {0} config check 2>&-")
    assert done.returncode == 0
    assert done.stdout.startswith(b"profile,series,timestamp,value\n")
    assert done.stdout.endswith(b", ok\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_what_a_terminal_has_no_character_for_is_replaced(filled, encoding):
    done = _in_a_shell(filled, "{0} plot all", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "all: certificates" in done.stdout.decode(encoding)
    assert b"?" in done.stdout


def test_an_upstream_that_is_not_there_is_a_reason(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        collector = Collector(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/client/v4")
        collector.configure(profile_toml())
        assert "cannot connect to 127.0.0.1 port" in collector.run("collect", expect=1).stdout


def test_a_port_in_use_is_a_sentence(filled):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        collector = Collector(filled.folder, filled.base_url, server=f"port = {port}")
        collector.configure(profile_toml())
        done = collector.run("run", expect=1)
        assert f"cannot serve on 127.0.0.1:{port}: address already in use; another port: server.port" in done.stderr
    filled.configure(profile_toml())


@pytest.mark.parametrize("database", ["/proc/collector.db", "/proc/sub/collector.db", "/dev/null", "/"])
def test_a_folder_that_cannot_hold_a_store_is_a_sentence(filled, tmp_path, database):
    collector = Collector(tmp_path, filled.base_url, f"sqlite:///{database}")
    collector.configure(profile_toml())
    for command in ("collect", "status"):
        assert collector.call(command, expect=None).returncode in {1, 2}
    assert collector.run("run", expect=None).returncode in {1, 2}


def test_a_read_only_folder_is_a_sentence(filled, tmp_path):
    collector = Collector(tmp_path, filled.base_url, "sqlite:///data/collector.db")
    (tmp_path / "data").mkdir(mode=0o500)
    collector.configure(profile_toml())
    for command in ("collect", "run"):
        argv = [*_AS_ANYBODY, *COLLECTOR, command]
        done = subprocess.run(
            argv, cwd=tmp_path, env=collector.environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1, done.stderr
        assert "cannot be written to, so no store can be kept there (permission denied)" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "empty"), (b"no database at all, just text\n" * 100, "not a SQLite database"), (None, "is not a file")],
)
def test_a_foreign_file_is_told_apart_and_left_as_it_is(filled, tmp_path, content, told):
    path = tmp_path / "collector.db"
    path.mkdir() if content is None else path.write_bytes(content)
    collector = Collector(tmp_path, filled.base_url)
    collector.configure(profile_toml())
    for command in ("collect", "status"):
        assert told in collector.call(command, expect=1).stderr
    assert content is None or path.read_bytes() == content


def test_a_postgres_that_is_not_there_is_a_sentence_without_the_password(filled, tmp_path):
    collector = Collector(tmp_path, filled.base_url, "postgresql://me:hunter2-the-password@127.0.0.1:1/none")
    collector.configure(profile_toml())
    for command in ("collect", "run", "status"):
        told = (collector.run if command == "run" else collector.call)(command, expect=1).stderr
        assert "127.0.0.1:1" in told
        assert "hunter2" not in told


def test_a_store_that_is_not_there_yet_is_a_sentence(filled, tmp_path):
    collector = Collector(tmp_path, filled.base_url)
    collector.configure(profile_toml())
    for command in ("status", "series", "fetches", "annotations", "revisions", "export"):
        assert "there is no store at" in collector.call(command, expect=1).stderr
    assert not Path(tmp_path / "collector.db").exists()


def test_healthcheck_without_a_daemon_is_exit_1(filled):
    assert "not ready: no answer from 127.0.0.1:" in filled.call("healthcheck", expect=1).stderr
