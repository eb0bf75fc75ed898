"""A year of 15m for 50 series costs hardly more than the fewest requests possible, whatever limits Radar hides.

Whatever is limited, and however more than that is refused. The long form prints what each cell costs.
"""

import pytest

from tests.bench.requests import CELLS, Cell, fewest, spent

_FEW = {
    Cell(7, 20),
    Cell(7, way="504"),
    Cell(14, way="coarser"),
    Cell(28, way="capped"),
    Cell(28, 20, "422"),
    Cell(positions=3, way="400 without a code"),
    Cell(positions=20, way="500/2000"),
    Cell(product=100, way="524"),
    Cell(product=620, way="time-out"),
    Cell(url=2048, way="400 HTML"),
}


def most(cell):
    least = fewest(cell)
    return 1.3 * least if least >= 20 else least + 6


@pytest.mark.parametrize(
    "cell", [cell if cell in _FEW else pytest.param(cell, marks=pytest.mark.campaign) for cell in CELLS], ids=str
)
async def test_discovery_included_few_requests_more_than_needed_are_sent(tmp_path, cell):
    requests, least = await spent(cell, tmp_path), fewest(cell)
    print(f"{cell}: {requests} requests, {least} at least, {requests / least:.2f}")  # noqa: T201 - for reports
    assert least <= requests <= most(cell)
