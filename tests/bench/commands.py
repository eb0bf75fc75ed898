"""CPU of commands as whole processes, from the start of Python to its exit, beside Python that does nothing.

The commands run from bytecode, as an installed package does: the first run of each one compiles the modules into a
folder of this benchmark and is not counted.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
_CONFIG = """\
[database]
url = "sqlite:///{folder}/store.db"
[[profiles]]
name = "all"
agg_interval = "1h"
"""
_COLLECTOR = ("-c", "from collector.__main__ import main; main()")
_MILLISECONDS = 1000

PROCESSES: dict[str, tuple[str, ...]] = {
    "python": ("-c", "pass"),
    "python, import click": ("-c", "import click"),
    "collector --help": (*_COLLECTOR, "--help"),
    "collector --version": (*_COLLECTOR, "--version"),
    "collector status --help": (*_COLLECTOR, "status", "--help"),
    "collector config check": (*_COLLECTOR, "config", "check"),
    "collector status": (*_COLLECTOR, "status"),
    "collector series": (*_COLLECTOR, "series"),
    "collector gaps": (*_COLLECTOR, "gaps"),
}
"""Arguments of Python by the name of what is measured. The store is empty."""


Seconds = dict[str, list[float]]
"""Process → CPU seconds of each run."""


def measure(runs: int, processes: dict[str, tuple[str, ...]] = PROCESSES) -> Seconds:
    """Run each process *runs* times, by turns, on an empty SQLite store."""
    with tempfile.TemporaryDirectory() as folder:
        environ = _environ(Path(folder))
        _run((*_COLLECTOR, "db", "upgrade"), environ)
        for arguments in processes.values():
            _run(arguments, environ)
        seconds: Seconds = {name: [] for name in processes}
        for _ in range(runs):
            for name, arguments in processes.items():
                used = _run(arguments, environ)
                seconds[name].append(used.ru_utime + used.ru_stime)
    return seconds


def _environ(folder: Path) -> dict[str, str]:
    (folder / "config.toml").write_text(_CONFIG.format(folder=folder))
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("COLLECTOR_", "PYTHON"))}
    own = {"COLLECTOR_CONFIG": str(folder / "config.toml"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    return inherited | own


def _run(arguments: tuple[str, ...], environ: dict[str, str]) -> resource.struct_rusage:
    """Run Python with *arguments*. Returns what the system counted for this one process."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used


def table(seconds: Seconds) -> str:
    """Write one line per process: median and least CPU in milliseconds, and the median in units of the first one's."""
    lines = [("process", "cpu ms", "least", "ratio")]
    first = median(next(iter(seconds.values())))
    for name, runs in seconds.items():
        middle = median(runs)
        figures = (f"{middle * _MILLISECONDS:.0f}", f"{min(runs) * _MILLISECONDS:.0f}", f"{middle / first:.1f}")
        lines.append((name, *figures))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_aligned, line, widths, range(len(line)))) for line in lines)


def _aligned(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
