from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from collector.store.db.column_types import BucketTime, CleanText, Timestamp, clean

BOTH = pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
MOMENT = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
EDGE = MOMENT.replace(microsecond=0)


@BOTH
@pytest.mark.parametrize("kind", [BucketTime(), Timestamp()])
def test_a_moment_without_a_time_zone_is_refused(dialect, kind):
    with pytest.raises(ValueError, match="no time zone"):
        kind.process_bind_param(EDGE.replace(tzinfo=None), dialect)
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None


@BOTH
def test_a_bucket_lies_on_a_second(dialect):
    with pytest.raises(ValueError, match="no bucket edge"):
        BucketTime().process_bind_param(MOMENT, dialect)


@BOTH
@pytest.mark.parametrize("kind", [BucketTime(), Timestamp()])
def test_a_moment_of_any_zone_comes_back_in_utc(dialect, kind):
    there = EDGE.astimezone(timezone(timedelta(hours=14)))
    found = kind.process_result_value(kind.process_bind_param(there, dialect), dialect)
    assert (found, found.tzinfo) == (EDGE, UTC)


def test_what_sqlite_stores():
    assert BucketTime().process_bind_param(EDGE, sqlite.dialect()) == 1777636800
    assert Timestamp().process_bind_param(MOMENT, sqlite.dialect()) == 1777636800.123456
    assert isinstance(BucketTime().process_bind_param(EDGE, sqlite.dialect()), int)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2242, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - given below
def test_a_moment_is_kept_to_the_microsecond(moment):
    stored = Timestamp().process_bind_param(moment, sqlite.dialect())
    assert Timestamp().process_result_value(stored, sqlite.dialect()) == moment


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_one_that_every_database_takes(text):
    written = CleanText().process_bind_param(text, sqlite.dialect())
    assert "\0" not in written
    assert written.encode().decode() == written == clean(written)


def test_ordinary_text_stays_as_it_is():
    assert clean("Zürich 🕰 \u202e\n") == "Zürich 🕰 \u202e\n"
