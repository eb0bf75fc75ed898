"""Short ways to build the values that tests need."""

from datetime import timedelta

from collector.interval import AggInterval
from collector.model import Question
from collector.profile import Profile

_DEFAULTS = {
    "filters": {},
    "since": None,
    "publication_delay": timedelta(minutes=2),
    "lookback": timedelta(days=1),
    "settle": timedelta(days=14),
    "heal": True,
}


def profile(name="all", agg_interval=AggInterval.ONE_HOUR, each=None, **changes):
    """Return a profile. *changes* are fields of Profile; every other name is a filter with the values of `each`."""
    fields = {key: value for key, value in changes.items() if key in Profile.__dataclass_fields__}
    varied = {key: value for key, value in changes.items() if key not in fields}
    return Profile(name, agg_interval, each={**(each or {}), **varied}, **{**_DEFAULTS, **fields})


def many(count, name="many", **changes):
    """Return a profile with *count* series."""
    return profile(name, each={"caOwner": tuple(f"Owner {number}" for number in range(count))}, **changes)


def query(agg_interval=AggInterval.ONE_HOUR, **filters):
    """Return a query with *filters*: each value is a text or several texts."""
    values = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in filters.items()}
    return Question(AggInterval(agg_interval), values)
