"""The names that an answer gave its unit (`meta.units[].name`), to say them again; no part of a series' identity."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from collector.model import spelling_free
from collector.store import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

_USUAL = ("*",)


def _key(unit: str) -> str:
    return f"unit_names:{spelling_free(unit)}"


async def read_unit_names(connection: AsyncConnection, unit: str) -> tuple[str, ...]:
    """Return the names that the newest answer gave *unit*, `*` unless others are on record."""
    text = await facts.get(connection, _key(unit))
    return tuple(json.loads(text)) if text else _USUAL


async def write_unit_names(connection: AsyncConnection, unit: str, names: Sequence[str]) -> None:
    """Put the names of *unit* on record, unless they are those on record."""
    if await read_unit_names(connection, unit) != tuple(names):
        await facts.put(connection, _key(unit), json.dumps(list(names), ensure_ascii=False))
