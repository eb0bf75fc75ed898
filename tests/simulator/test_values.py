from __future__ import annotations

import pytest

from collector.datasets import DEFAULT
from collector.simulator.values import DAY, SLOT, SyntheticCounts, day_totals
from collector.timestamps import from_epoch, utc

START = int(utc("2026-03-01T00:00:00Z").timestamp())
LATER = START + 365 * DAY
WORLD = SyntheticCounts(seed=0, revised_for=3 * DAY)


def _slots(filters=None, start=START, end=START + 2 * DAY, as_of=LATER, world=WORLD):
    return list(world.slots(filters or {}, start, end, as_of))


def test_the_same_seed_gives_the_same_history_and_another_seed_another():
    assert _slots() == _slots(world=SyntheticCounts(0, 3 * DAY))
    assert _slots() != _slots(world=SyntheticCounts(1, 3 * DAY))


def test_no_value_depends_on_the_window():
    filters = {"tld": ("com",), "validationLevel": ("DOMAIN", "EXTENDED")}
    whole = _slots(filters)
    for first, last in [(0, 1), (5, 100), (95, 97), (191, 192)]:
        assert _slots(filters, START + first * SLOT, START + last * SLOT) == whole[first:last]


PARTITIONS = [one for one in DEFAULT.parameters if not one.is_distinct]


@pytest.mark.parametrize("parameter", PARTITIONS, ids=lambda one: one.name)
def test_the_values_of_one_filter_add_up_to_the_whole(parameter):
    parts = [_slots({parameter.name: (value,)}) for value in parameter.values or dict(parameter.shares)]
    assert [sum(column) for column in zip(*parts, strict=True)] == _slots()
    assert all(count >= 0 for part in parts for count in part)
    assert any(sum(part) > 1000 for part in parts)


def test_the_values_of_the_last_dimension_add_up_under_other_filters():
    levels = DEFAULT.filters["validationLevel"].values
    parts = [_slots({"ca": ("R12",), "validationLevel": (level,)}) for level in levels]
    assert [sum(column) for column in zip(*parts, strict=True)] == _slots({"ca": ("R12",)})


def test_alternatives_are_the_sum_of_each():
    one, other = _slots({"tld": ("com",)}), _slots({"tld": ("org",)})
    assert _slots({"tld": ("org", "com", "org")}) == [a + b for a, b in zip(one, other, strict=True)]


def test_all_alternatives_are_no_filter():
    assert _slots({"hasIps": ("true", "false")}) == _slots()


def test_unique_entries_false_filters_nothing():
    assert _slots({"uniqueEntries": ("false",)}) == _slots()
    assert all(unique < both for unique, both in zip(_slots({"uniqueEntries": ("true",)}), _slots(), strict=True))


def test_the_valid_ones_of_a_past_bucket_shrink_with_every_day_and_the_expired_ones_grow():
    moments = [START + 2 * DAY + days * DAY for days in (4, 5, 30, 60, 95, 400)]
    valid, expired = ([_slots({"expirationStatus": (v,)}, as_of=at) for at in moments] for v in ("VALID", "EXPIRED"))
    assert [[a + b for a, b in zip(*both, strict=True)] for both in zip(valid, expired, strict=True)] == [_slots()] * 6
    sums = [sum(one) for one in valid]
    assert sums == sorted(sums, reverse=True)
    assert len(set(sums)) == 6
    assert sums[0] > 0.85 * sum(_slots()) > 0 == sums[-1]


def test_both_states_of_expiration_are_no_filter():
    assert _slots({"expirationStatus": ("VALID", "EXPIRED")}, as_of=START + 9 * DAY) == _slots()


def test_a_name_nobody_has_heard_of_has_a_share_of_its_own():
    one, other = _slots({"caOwner": ("NullObserver",)}), _slots({"caOwner": ("NullObserver else",)})
    assert one != other
    assert all(0 < count < whole // 40 for count, whole in zip(one, _slots(), strict=True))


def test_a_young_value_is_revised_until_it_settles():
    bucket = START + 40 * SLOT
    closes = bucket + SLOT
    final = _slots(start=bucket, end=closes)
    assert _slots(start=bucket, end=closes, as_of=closes + 3 * DAY) == final
    days = range(START, START + DAY, SLOT)
    young = [_slots(start=at, end=at + SLOT, as_of=at + SLOT) for at in days]
    settled = [_slots(start=at, end=at + SLOT) for at in days]
    changed = [(a[0], b[0]) for a, b in zip(young, settled, strict=True) if a != b]
    assert len(changed) > 40
    assert all(abs(a - b) <= b * 34 // 1000 for a, b in changed)
    assert any(a > b for a, b in changed)


def test_a_revision_comes_in_steps_and_not_at_every_look():
    seen = [_slots(as_of=START + 2 * DAY + hour * 3600) for hour in range(0, 80, 4)]
    versions = [len(set(column)) for column in zip(*seen, strict=True)]
    assert max(versions) == 3
    assert versions.count(1) > 20


def test_revisions_can_be_off():
    world = SyntheticCounts(0, 0)
    assert _slots(as_of=START + 2 * DAY, world=world) == _slots(as_of=LATER, world=world)


def test_the_dimensions_still_add_up_while_values_are_young():
    as_of = START + 2 * DAY
    parts = [_slots({"logApi": (value,)}, as_of=as_of) for value in DEFAULT.filters["logApi"].values]
    assert [sum(column) for column in zip(*parts, strict=True)] == _slots(as_of=as_of)


def test_there_is_a_day_and_a_week_to_be_seen():
    day = START // DAY
    totals = [sum(day_totals(0, day + offset)) for offset in range(28)]
    weekend = [total for offset, total in enumerate(totals) if from_epoch(START + offset * DAY).weekday() >= 5]
    assert sum(weekend) / len(weekend) < 0.95 * sum(totals) / len(totals)
    slots = day_totals(0, day + 1)
    assert sum(slots[4:16]) < 0.75 * sum(slots[52:64])


def test_history_goes_back_as_far_as_asked():
    assert all(count > 0 for count in _slots(start=0, end=DAY))
    assert all(count > 0 for count in _slots(start=-3 * DAY, end=-2 * DAY))
