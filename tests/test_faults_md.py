"""`faults.md` names a test for every fault: each test exists, and each fault has a line."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LINES = [line for line in (TESTS / "faults.md").read_text().splitlines() if line.startswith("- ")]
_NAMED = re.compile(r"[\w/]+\.py::\w+")
COUNTS = {
    "Upstream": 19,
    "Network": 12,
    "Bad data": 10,
    "Process, disk, clock": 30,
    "Postgres and replicas": 21,
    "Configuration and HTTP": 17,
    "Secrets and rules": 3,
}
"""The faults of each group, so that none is dropped by mistake."""


@cache
def _tests(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("line", LINES)
def test_every_fault_has_a_test_that_exists_or_a_reason(line):
    named = _NAMED.findall(line)
    assert named or ": none; " in line
    for one in named:
        file, name = one.split("::")
        assert (TESTS / file).exists(), file
        assert name in _tests(TESTS / file), one


def test_no_fault_has_lost_its_line():
    groups, group = {}, None
    for line in (TESTS / "faults.md").read_text().splitlines():
        if line.startswith("## "):
            group = line[3:]
        groups[group] = groups.get(group, 0) + line.startswith("- ")
    assert {name: count for name, count in groups.items() if name} == COUNTS
