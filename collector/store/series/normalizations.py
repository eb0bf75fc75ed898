"""What is on record of normalizations that nobody knows; see `collector.rules.normalization`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector import model
from collector.model import spelling_free
from collector.rules.normalization import Verdict, load
from collector.store.db import state
from collector.store.db.schema import state as state_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_PREFIX = f"normalization:{model.DATASET}:"


def key(verdict: Verdict) -> str:
    """Return the key of a verdict in the table of small facts."""
    return _PREFIX + model.spelling_free(verdict.name)


def listed(connection: sa.Connection) -> list[Verdict]:
    """List the verdicts, by name."""
    select = (
        sa.select(state_table.c.value)
        .where(state_table.c.key.startswith(_PREFIX, autoescape=True))
        .order_by(state_table.c.key)
    )
    return [load(text) for text in connection.execute(select).scalars()]


def absolute(connection: sa.Connection, words: Iterable[str]) -> set[str]:
    """Find those of *words* whose values compare across answers: the known ones, and those that were judged so."""
    wanted = {word for word in words if word}
    found = {word for word in wanted if model.is_absolute(word)}
    unknown = {word for word in wanted - found if not model.is_known(word)}
    if unknown:
        judged = {model.spelling_free(one.name) for one in listed(connection) if one.is_absolute}
        found |= {word for word in unknown if model.spelling_free(word) in judged}
    return found


_USUAL = ("*",)


def _key(unit: str) -> str:
    return f"unit_names:{spelling_free(unit)}"


def read_unit_names(connection: sa.Connection, unit: str) -> tuple[str, ...]:
    """Return the names that the newest answer gave *unit*, `*` unless others are on record."""
    text = state.get(connection, _key(unit))
    return tuple(json.loads(text)) if text else _USUAL


def write_unit_names(connection: sa.Connection, unit: str, names: Sequence[str]) -> None:
    """Put the names of *unit* on record, unless they are those on record."""
    if read_unit_names(connection, unit) != tuple(names):
        state.put(connection, _key(unit), json.dumps(list(names), ensure_ascii=False))
