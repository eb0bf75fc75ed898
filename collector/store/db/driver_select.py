"""A SELECT that is compiled once, and then executed straight by the driver.

What SQLAlchemy does for each execution costs several times as much as a small read itself.
"""

from __future__ import annotations

from collections import namedtuple
from contextlib import closing
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import sqlalchemy as sa

    Convert = Callable[[Any], Any]

_MAX_COMPILED = 512
_LONGEST_LIST = 64
"""Statements with longer lists are not kept, because they are large."""


class DriverSelect:
    """*select* with its parameters: single values, or lists for `expanding` ones.

    Parameters and columns are converted, and the driver's errors raised, as SQLAlchemy does. Its events are not sent.
    """

    def __init__(self, select: sa.Select[Any] | sa.CompoundSelect[Any]) -> None:
        self.select = select

    def rows(self, connection: sa.Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """Read all rows, as named tuples."""
        lists = {name: value for name, value in parameters.items() if isinstance(value, list)}
        if any(len(value) > _LONGEST_LIST for value in lists.values()):
            return [*connection.execute(self.select, parameters)]
        lists = {name: _filled(value) for name, value in lists.items()}
        parameters, lengths = {**parameters, **lists}, tuple((name, len(value)) for name, value in lists.items())
        compiled, driver = _Compiled(self, connection.dialect, lengths), connection.connection.driver_connection
        assert driver is not None
        values = compiled.bind(parameters)
        try:
            # It is closed after an error, too, because a SQLite connection would else keep the state that it reads.
            with closing(driver.cursor()) as cursor:
                cursor.execute(compiled.text, values)
                return compiled.named(cursor.fetchall(), cursor)
        except connection.dialect.loaded_dbapi.Error as error:
            # It raises SQLAlchemy's error. If the connection is lost, it replaces those of the pool, too.
            connection._handle_dbapi_exception(error, compiled.text, values, None, None)  # noqa: SLF001


def _filled(values: list[Any]) -> list[Any]:
    """Repeat the last of *values* until there are 2, 4, 8 and so on, because each length is a statement of its own."""
    length = 1 << (len(values) - 1).bit_length() if values else 0
    return values + values[-1:] * (length - len(values))


@lru_cache(maxsize=_MAX_COMPILED)
def _compile(select: Any, dialect: sa.Dialect) -> Any:
    """Compile *select* for lists of any length, which takes several times as long as to fill in their places."""
    return select.compile(dialect=dialect)


@lru_cache(maxsize=_MAX_COMPILED)
class _Compiled:
    """A statement for one database: its text, and how its values and its rows are converted."""

    def __init__(self, statement: DriverSelect, dialect: sa.Dialect, lengths: tuple[tuple[str, int], ...]) -> None:
        compiled = _compile(statement.select, dialect)
        lists = {name: [None] * length for name, length in lengths}
        required = {name: lists.get(name) for bind, name in compiled.bind_names.items() if bind.required}
        if no_lists := {n for b, n in compiled.bind_names.items() if b.required and b.expanding} - lists.keys():
            raise TypeError(f"{', '.join(sorted(no_lists))}: a list is needed")
        expanded = compiled.construct_expanded_state(required)
        self.text: str = expanded.statement
        self._order: Sequence[str] | None = expanded.positiontup
        self._constants: dict[str, Any] = {}
        self._bound: list[tuple[str, str, int | None, Convert | None]] = []
        for bind, name in compiled.bind_names.items():
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            items = expanded.parameter_expansion.get(name)
            for position, item in enumerate([name] if items is None else items):
                if bind.required:
                    self._bound.append((item, name, None if items is None else position, convert))
                else:
                    value = expanded.parameters[item]
                    self._constants[item] = convert(value) if convert else value
        self._types = [column.type.dialect_impl(dialect) for column in statement.select.selected_columns]
        self._dialect = dialect
        self._make_rows: Callable[[list[Any]], list[Any]] | None = None

    def bind(self, parameters: Mapping[str, Any]) -> Any:
        """Return the values as the driver takes them: in the order of their places, or by name."""
        values = dict(self._constants)
        for name, parameter, position, convert in self._bound:
            value = parameters[parameter] if position is None else parameters[parameter][position]
            values[name] = value if convert is None else convert(value)
        return values if self._order is None else [values[name] for name in self._order]

    def named(self, rows: list[Any], cursor: Any) -> list[Any]:
        """Return *rows* of the driver's *cursor* as named tuples."""
        if self._make_rows is None:
            names, codes, *_ = zip(*cursor.description, strict=True)
            processors = [
                type_.result_processor(self._dialect, code) for type_, code in zip(self._types, codes, strict=True)
            ]
            conversions = [(position, convert) for position, convert in enumerate(processors) if convert]
            self._make_rows = partial(_make_rows, _row_type(names)._make, conversions)
        return self._make_rows(rows)


@lru_cache(maxsize=_MAX_COMPILED)
def _row_type(names: tuple[str, ...]) -> Any:
    """Return the named tuple with *names*, which takes longer to create than to read many rows."""
    return namedtuple("Row", names, rename=True)  # noqa: PYI024 - of a SELECT's columns


def _make_rows(make: Convert, conversions: Sequence[tuple[int, Convert]], rows: list[Any]) -> list[Any]:
    if not conversions:
        return [make(row) for row in rows]
    converted = []
    for row in rows:
        values = list(row)
        for position, convert in conversions:
            values[position] = convert(values[position])
        converted.append(make(values))
    return converted
