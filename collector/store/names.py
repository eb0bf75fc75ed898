"""Names as a table, so that one statement can look something up for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_table(names: Sequence[str]) -> sa.CTE:
    """Give a table with one column, *name*; there must be at least one."""
    rows = [(name,) for name in dict.fromkeys(names)]
    return sa.values(sa.column("name", sa.Text), name="given").data(rows).cte("names")
