from collector.report.warnings import UnitWatch, unit_warnings
from collector.store import Block, UnitChange
from tests.harness.factories import HOUR, NOW, at, profile, query

SAID = "p/a: the unit changes from 'x' to 'y' with the bucket 2026-04-30T02:00:00Z"


def _block(hour, unit, label="p/a", normalization="RAW_VALUES"):
    return Block("p", label, [(at(hour), 1.0)], unit, normalization)


def _said(*blocks):
    watch = UnitWatch()
    return [said for block in blocks if (said := watch.change(block))]


def test_a_change_is_reported_with_its_first_bucket():
    assert _said(_block(0, "x"), _block(1, "x"), _block(2, "y"), _block(3, "y")) == [SAID]


def test_another_label_another_spelling_and_no_points_are_no_change():
    assert _said(_block(0, "x"), _block(2, "y", "p/b"), _block(3, " X "), Block("p", "p/a", [], "y")) == []


def test_the_same_change_is_reported_once():
    back = "p/a: the unit changes from 'y' to 'x' with the bucket 2026-04-30T03:00:00Z"
    assert _said(*(_block(hour, unit) for hour, unit in enumerate("xxyxyxy"))) == [SAID, back]


def test_a_normalization_is_named_where_it_changes():
    assert _said(_block(0, "x"), _block(2, "x", normalization="PERCENTAGE")) == [
        "p/a: the unit changes from 'x' (RAW_VALUES) to 'x' (PERCENTAGE) with the bucket 2026-04-30T02:00:00Z"
    ]


def test_status_warns_of_changed_and_of_proposed_units():
    changes = [
        UnitChange(query(tld="a"), "'x'", "'y'", NOW, in_force=True),
        UnitChange(query(tld="a"), "'y'", "'z'", NOW + HOUR, in_force=False),
    ]
    assert unit_warnings([profile("p", tld=("a", "b")), profile("other")], changes) == [
        "p/a: the unit changed from 'x' to 'y' at 2026-05-01T12:00:00Z; earlier buckets keep 'x'",
        (
            "p/a: Radar answered with the unit 'z' instead of 'y' at 2026-05-01T13:00:00Z; "
            "a second such answer at least an hour later changes the unit"
        ),
    ]


def test_equal_changes_within_a_profile_share_a_warning():
    changes = [UnitChange(query(tld=name), "'x'", "'y'", NOW, in_force=True) for name in ("a", "b")]
    (warning,) = unit_warnings([profile("p", tld=("a", "b", "c"))], changes)
    assert warning.startswith("p (2 of 3 series): the unit changed from 'x' to 'y'")


def test_without_a_change_there_is_no_warning():
    assert unit_warnings([profile()], []) == []
