"""What a replayed answer adds to a series."""

import pytest

from collector.store.write.replays import Filling, Part
from tests.harness.factories import at, query


def part(*hours):
    return Part(query(), (at(0), at(24)), {at(hour): float(hour) for hour in hours}, None)


@pytest.mark.parametrize(
    ("added", "counts", "parts", "stored", "kept"),
    [
        ([1, 2], (0, 0), [part(1, 2)], {}, None),
        ([2], (1, 0), [part(1, 2)], {1: 1.0}, None),
        ([2], (0, 1), [part(1, 2)], {1: 7.0}, None),
        ([2], (0, 0), [part(1, 2)], {}, at(2)),
        ([1, 2, 3], (0, 0), [part(1, 2), part(2, 3)], {}, None),
        ([], (0, 0), [part()], {5: 1.0}, None),
    ],
    ids=["all", "one is there", "one differs", "one is before what is kept", "parts overlap", "nothing"],
)
def test_only_what_is_absent_is_added_once(added, counts, parts, stored, kept):
    filling = Filling()
    for one in parts:
        filling.add(one, {at(hour): (value, 1) for hour, value in stored.items()}, kept)
    assert filling.values == {at(hour): float(hour) for hour in added}
    assert (filling.count, filling.unchanged, filling.ignored) == (len(added), *counts)
