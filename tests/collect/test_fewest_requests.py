"""A year of 15m for 50 series costs hardly more than the fewest requests possible, whatever limits Radar hides."""

import pytest

from tests.bench.requests import CELLS, UNLIMITED, Cell, fewest, spent

_FEW = {
    Cell(7, 20, 400),
    Cell(7, UNLIMITED, 422),
    Cell(14, 20, 400),
    Cell(28, 20, 422),
    Cell(31, 20, 422),
    Cell(31, UNLIMITED, 400),
}


def most(cell):
    least = fewest(cell)
    return 1.3 * least if least >= 20 else least + 6


@pytest.mark.parametrize(
    "cell", [cell if cell in _FEW else pytest.param(cell, marks=pytest.mark.campaign) for cell in CELLS], ids=str
)
async def test_discovery_included_few_requests_more_than_needed_are_sent(tmp_path, cell):
    assert fewest(cell) <= await spent(cell, tmp_path) <= most(cell)
