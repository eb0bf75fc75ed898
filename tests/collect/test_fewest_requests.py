"""A year of 15m for 50 series costs hardly more than the fewest requests possible, whatever limits Radar hides."""

import pytest

from tests.bench.requests import CELLS, SKIPPED, UNLIMITED, Cell, fewest, spent

_FEW = {
    Cell(7, 20, 400),
    Cell(7, UNLIMITED, 422),
    Cell(14, 20, 400),
    Cell(28, 20, 422),
    Cell(31, 20, 422),
    Cell(31, UNLIMITED, 400),
}


def _cells(*, skipped):
    found = [cell for cell in CELLS if (cell.days in SKIPPED) == skipped]
    return [cell if cell in _FEW else pytest.param(cell, marks=pytest.mark.campaign) for cell in found]


@pytest.mark.parametrize("cell", _cells(skipped=False), ids=str)
async def test_discovery_included_at_most_fifteen_in_a_hundred_are_more_than_needed(tmp_path, cell):
    assert fewest(cell) <= await spent(cell, tmp_path) <= 1.15 * fewest(cell)


@pytest.mark.parametrize("cell", _cells(skipped=True), ids=str)
async def test_a_limit_that_discovery_has_skipped_is_found_as_soon_as_it_may_save_many(tmp_path, cell):
    assert fewest(cell) <= await spent(cell, tmp_path) <= 1.01 * fewest(cell) + 21
