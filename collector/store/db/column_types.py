"""Column types that mean the same on both databases and are what SQLite's STRICT tables take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Double: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
Boolean = sa.Boolean().with_variant(sa.Integer(), "sqlite")

_POSTGRES = sa.TIMESTAMP(timezone=True)


class Timestamp(sa.types.TypeDecorator[datetime]):
    """A moment to the microsecond: on SQLite epoch seconds with a fraction, on Postgres a timestamptz.

    A double of epoch seconds is exact to the microsecond until the year 2242. Naive datetimes are rejected.
    """

    impl: Any = _POSTGRES.with_variant(sa.REAL(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write an aware moment. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} names no time zone")
        return value.timestamp() if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as declared
        """Read an aware moment in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if isinstance(value, datetime) else from_epoch(value)


class BucketTime(Timestamp):
    """A bucket edge: on SQLite an integer of epoch seconds, on Postgres a timestamptz. Naive datetimes are rejected."""

    impl: Any = _POSTGRES.with_variant(sa.Integer(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write an aware moment on a whole second. Raises ValueError for any other."""
        if value is not None and value.microsecond:
            raise ValueError(f"{value} is no bucket edge")
        bound = super().process_bind_param(value, dialect)
        return int(bound) if isinstance(bound, float) else bound

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Compare with any moment, because one like `--end 36h` is hardly ever a bucket edge."""
        return Timestamp() if isinstance(value, datetime) else super().coerce_compared_value(op, value)


class CleanText(sa.types.TypeDecorator[str]):
    """Text from outside: characters that no database stores (NUL, half a surrogate pair) are replaced."""

    impl = sa.Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - as declared
        """Write a text that both databases return unchanged."""
        return clean(value) if value is not None else None


def clean(text: str) -> str:
    """Replace the characters in *text* that no database stores."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class epoch(FunctionElement[int]):  # noqa: N801 - named as SQL functions are
    """`epoch(column)`: a bucket's epoch seconds as an integer, on either database."""

    type = sa.BigInteger()
    inherit_cache = True
    name = "epoch"


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: epoch, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(date_part('epoch', {compiler.process(element.clauses, **options)}) AS BIGINT)"


class seconds(FunctionElement[float]):  # noqa: N801 - named as SQL functions are
    """`seconds(column)`: a moment's epoch seconds with their fraction, on either database."""

    type = sa.Double()
    inherit_cache = True
    name = "seconds"


@compiles(seconds, "postgresql")
def _seconds_postgresql(element: seconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"date_part('epoch', {compiler.process(element.clauses, **options)})"


class bucket(FunctionElement[datetime]):  # noqa: N801 - named as SQL functions are
    """`bucket(seconds)`: epoch seconds as a bucket's edge, to compare a column with, on either database."""

    type = BucketTime()
    inherit_cache = True
    name = "bucket"


@compiles(bucket, "postgresql")
def _bucket_postgresql(element: bucket, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_timestamp({compiler.process(element.clauses, **options)})"


@compiles(epoch, "sqlite")
@compiles(seconds, "sqlite")
@compiles(bucket, "sqlite")
def _as_stored(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    """Write the argument alone, because SQLite stores epoch seconds."""
    return compiler.process(element.clauses, **options)
