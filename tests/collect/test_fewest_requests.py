"""A year of 15m for 50 series costs hardly more than the fewest requests possible, whatever limits Radar hides."""

import pytest

from tests.bench.requests import CELLS, UNLIMITED, Cell, fewest, spent

_FEW = {Cell(7, 20, 400), Cell(7, UNLIMITED, 422), Cell(31, 20, 422), Cell(31, UNLIMITED, 400)}


@pytest.mark.parametrize(
    "cell", [cell if cell in _FEW else pytest.param(cell, marks=pytest.mark.campaign) for cell in CELLS], ids=str
)
async def test_discovery_included_at_most_fifteen_in_a_hundred_are_more_than_needed(tmp_path, cell):
    assert fewest(cell) <= await spent(cell, tmp_path) <= 1.15 * fewest(cell)
