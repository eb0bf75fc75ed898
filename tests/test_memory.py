"""Free memory goes back to the machine."""

import os
import subprocess
import sys

import pytest

_SCRIPT = """
from collector.memory import give_back

def resident():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))

kept = []
blocks = []
for number in range(40_000):
    blocks.append(bytes(2_000))
    if number % 100 == 0:
        kept.append(bytes(2_000))  # between the others, so that the heap cannot shrink from its end
before = resident()
del blocks
free = resident()
give_back()
print(before - free, free - resident())
"""


def test_what_the_heap_holds_between_blocks_in_use_is_given_back():
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    by_itself, given_back = map(int, found.stdout.split())
    assert given_back > 20_000
    assert by_itself < given_back


_THREADS = """
import ctypes, sys, threading
from collector.memory import use_one_heap

if sys.argv[1] == "one":
    use_one_heap()
together = threading.Barrier(4)

def allocate():
    together.wait()
    kept = [bytearray(2_000) for _ in range(100)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.parametrize(("heaps", "expected"), [("one", 1), ("many", 5)])
def test_threads_share_one_heap_where_told_to(heaps, expected):
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", _THREADS, heaps]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert found.stderr.count("Arena ") == expected
