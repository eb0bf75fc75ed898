"""What the tests of commands share."""

import pytest

from tests.harness.processes import beside_a_simulator


@pytest.fixture
def world(tmp_path):
    """A simulator and a collector beside it, on SQLite."""
    with beside_a_simulator(tmp_path) as both:
        yield both
