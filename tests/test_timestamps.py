from datetime import UTC, datetime, timedelta, timezone

import pytest

from collector.timestamps import check_date

NOW = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
EAST = timezone(timedelta(hours=14))


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2000, 1, 1, tzinfo=UTC),
        NOW,
        datetime(2026, 3, 11, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 12, 13, tzinfo=EAST),
    ],
)
def test_a_date_from_2000_to_tomorrow_is_returned_in_utc(moment):
    assert check_date(moment, NOW) == moment
    assert check_date(moment, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=EAST),
        datetime(2, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=EAST),
        datetime(2026, 3, 12, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=14))),
    ],
)
def test_any_other_date_is_refused_with_what_is_allowed(moment):
    with pytest.raises(ValueError, match=r" is out of range; allowed: 2000-01-01 to tomorrow, 2026-03-11$"):
        check_date(moment, NOW)
