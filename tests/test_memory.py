"""Free memory goes back to the machine."""

import subprocess
import sys

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
