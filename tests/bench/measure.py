"""One measured run, in a process of its own: reads a Plan as JSON from standard input and prints a Measured."""

import asyncio
import importlib
import json
import resource
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict

from collector import logs
from collector.radar.request import query_string
from tests.bench import collector_run, disk, floor, peers
from tests.bench.run import Measured, Plan
from tests.bench.server import COUNT
from tests.bench.workload import Size, batches, profile

_KIB = 1024


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    logs.configure("info", "text", ())
    size = Size(plan.series, plan.windows)
    load = _collector(plan, size) if plan.kind == "collector" else _other(plan, size)
    json.dump(asdict(_measured(plan, size, load)), sys.stdout)


def _other(plan: Plan, size: Size) -> Callable[[], None]:
    """Prepare the floor or a peer; dlt makes its own tables."""
    for name in peers.PACKAGES.get(plan.kind, ()):
        importlib.import_module(name)  # before the clock runs, as all that the collector imports
    if plan.kind != "dlt":
        floor.prepare(plan.backend, plan.plain_address)
    numbers = {series.query: number for number, series in enumerate(profile(size).series, 1)}
    asks = [
        (query_string(batch), [numbers[piece.series] for piece in batch.slices])
        for batch in batches(size, plan.positions)
    ]
    if plan.kind in peers.LOADS:
        return lambda: peers.LOADS[plan.kind](plan.plain_address, plan.base_url, asks, plan.concurrency)
    return lambda: asyncio.run(floor.load(plan.backend, plan.plain_address, plan.base_url, asks, plan.concurrency))


def _collector(plan: Plan, size: Size) -> Callable[[], None]:
    asyncio.run(collector_run.prepare(plan.address, size, plan.positions))
    return lambda: asyncio.run(collector_run.load(plan.address, plan.base_url, size, plan.concurrency))


def _measured(plan: Plan, size: Size, load: Callable[[], None]) -> Measured:
    asked, wall, cpu = _requests(plan), time.perf_counter(), _cpu()
    load()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
    asked = _requests(plan) - asked
    points, stored = disk.points_and_bytes(plan.backend, plan.plain_address)
    if points != size.points:
        raise SystemExit(f"{points} points instead of {size.points}")
    disk.watch(plan.backend, plan.plain_address)
    repeat_cpu = -_cpu()
    load()
    repeat_cpu += _cpu()
    rewritten = disk.rows_written(plan.backend, plan.plain_address)
    return Measured(wall, cpu, peak, stored / points, asked, rewritten, repeat_cpu)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _requests(plan: Plan) -> int:
    with urllib.request.urlopen(plan.base_url + COUNT) as answer:
        return int(answer.read())


if __name__ == "__main__":
    main()
