"""A process that has imported everything and forks collectors on demand, because starting Python costs more time.

A forked process is like any other: it has its own environment, folder and output, runs an entry point (by default
`collector`) with its arguments, gets signals by its id, and exits like an interpreter.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_COLLECTOR = "collector.__main__:main"
_LARGEST = 2**17
_FILES = 256


class ForkedProcess:
    """A process of the fork server, with the interface of subprocess.Popen."""

    def __init__(self, pid, ended):
        self.pid = pid
        self.returncode = None
        self._ended = ended

    def poll(self):
        """Return the exit code, or None while the process runs."""
        return self._seen(0)

    def wait(self, timeout=None):
        """Wait for the end. Returns the exit code."""
        code = self._seen(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("collector", timeout)
        return code

    def send_signal(self, number):
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _seen(self, timeout):
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._ended, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            self.returncode = int(self._ended.read())
            self._ended.close()
        return self.returncode


class _ForkServer:
    """The side of the test: a socket to the process that forks."""

    def __init__(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_by_one = threading.Lock()
        command = [sys.executable, "-m", "tests.harness.fork_server", str(theirs.fileno())]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, cwd=root, env=environ, pass_fds=[theirs.fileno()])
        theirs.close()
        atexit.register(self._close)

    def fork(self, arguments, folder, environ, outputs, entry=_COLLECTOR):
        """Start *entry*, `module:function`, with *arguments*; *outputs* are the files for stdout and stderr."""
        ended, tell = os.pipe()
        order = json.dumps([entry, arguments, str(folder), environ]).encode()
        with self._one_by_one:
            socket.send_fds(self._socket, [order], [*(file.fileno() for file in outputs), tell])
            os.close(tell)
            return ForkedProcess(int(self._socket.recv(_LARGEST)), os.fdopen(ended))

    def _close(self):
        self._socket.close()
        self._process.wait(10)


@cache
def fork_server():
    """Return the fork server of this process; the first call starts it."""
    return _ForkServer()


def _import_everything():
    import psycopg  # noqa: F401 - SQLAlchemy imports drivers only when it connects
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    import collector

    for module in pkgutil.walk_packages(collector.__path__, "collector."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _serve(orders):
    """Fork on demand and report every end. Returns only in a new process, with its entry point and arguments."""
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is orders:
                    message, files, *_ = socket.recv_fds(orders, _LARGEST, 3)
                    if not message:
                        sys.exit(0)
                    pid = os.fork()
                    if not pid:
                        return json.loads(message), files
                    stdout, stderr, tell = files
                    os.close(stdout)
                    os.close(stderr)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, tell))
                    orders.send(str(pid).encode())
                else:
                    _tell_of_the_end(selector, key)


def _tell_of_the_end(selector, key):
    pid, tell = key.data
    selector.unregister(key.fileobj)
    os.close(key.fileobj)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # the caller no longer waits
        os.write(tell, str(code).encode())
    os.close(tell)


def _become(arguments, folder, environ, stdout, stderr):
    """Set up output, folder, environment and arguments as in a new interpreter."""
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
        os.dup2(file, number)
    os.closerange(3, _FILES)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.argv = ["collector", *arguments]


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    (entry, *order), files = _serve(socket.socket(fileno=int(sys.argv[1])))
    _become(*order, *files[:2])
    pkgutil.resolve_name(entry)()
