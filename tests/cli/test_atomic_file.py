import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collector.cli.atomic_file import open_output
from collector.errors import CollectorError, UsageError

_HALF_WRITTEN = """
import signal, sys, time
from collector.cli.atomic_file import open_output
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background has it ignored
with open_output("file") as stream:
    stream.write(b"half")
    stream.flush()
    print("half", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(target, text="new"):
    with open_output(str(target)) as stream:
        stream.write(text.encode())


def test_a_terminal_gets_no_control_characters(monkeypatch):
    screen, terminal = os.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with open_output("-") as stream:
            for part in ("a\x1b]0;title\x07,\u202eb\n".encode()[:15], "a\x1b]0;title\x07,\u202eb\n".encode()[15:]):
                stream.write(part)
    assert os.read(screen, 1000) == b"a ]0;title , b\r\n"
    os.close(screen)


def _fail(error):
    with open_output("file") as stream:
        stream.write(b"half")
        raise error


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(folder):
    with open_output("file") as stream:
        stream.write(b"new")
        assert not Path("file").exists()
    assert Path("file").read_text() == "new"
    assert _names(folder) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_before_the_end_leaves_the_old_file(folder, error, before):
    if before:
        Path("file").write_text(before)
    with pytest.raises(error):
        _fail(error())
    assert {path.name: path.read_text() for path in folder.iterdir()} == ({"file": "old"} if before else {})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_old_file(folder, number):
    Path("file").write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-c", _HALF_WRITTEN],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"half\n"
    process.send_signal(number)
    assert process.wait(30) != 0
    process.stdout.close()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"file": "old"}


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(folder):
    _write("new")
    Path("plain").touch()
    assert Path("new").stat().st_mode == Path("plain").stat().st_mode
    Path("old").touch(mode=0o600)
    _write("old")
    assert stat.S_IMODE(Path("old").stat().st_mode) == 0o600


def test_a_link_stays_a_link(folder):
    (folder / "elsewhere").mkdir()
    Path("link").symlink_to("elsewhere/file")
    _write("link")
    assert Path("link").is_symlink()
    assert (folder / "elsewhere" / "file").read_text() == "new"


def test_a_pipe_is_written_as_it_is(folder):
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    _write("pipe")
    assert reader.communicate(timeout=30)[0] == b"new"
    assert _names(folder) == ["pipe"]


def test_a_dash_is_stdout(capfdbinary):
    _write("-")
    assert capfdbinary.readouterr().out == b"new"


@pytest.mark.parametrize(("target", "said"), [("none/file", "no such file or directory"), (".", "is a directory")])
def test_a_file_that_cannot_be_opened_is_a_usage_error(target, said):
    with pytest.raises(UsageError, match=f"^cannot write {target}: {said}$"):
        _write(target)


def test_a_write_error_is_reported_and_leaves_no_file(folder):
    with pytest.raises(CollectorError, match="cannot write file: no space left on device"):
        _fail(OSError(28, "no space left on device"))
    assert _names(folder) == []
