"""Which counts can be added."""

import ast
from pathlib import Path

import pytest

import collector
from collector.datasets import (
    DEFAULT,
    FilterParameter,
    adds_up_over_time,
    adds_up_over_values,
    is_snapshot,
    why_not_over_time,
)
from collector.profile import with_history
from tests.harness.factories import profile
from tests.harness.factories import query as _query

_VALUES = {
    "ca": (True, True),
    "caOwner": (True, True),
    "duration": (True, True),
    "entryType": (True, False),
    "expirationStatus": (False, False),
    "hasIps": (True, True),
    "hasWildcards": (True, True),
    "log": (True, False),
    "logApi": (True, False),
    "logOperator": (True, False),
    "publicKeyAlgorithm": (True, True),
    "signatureAlgorithm": (True, True),
    "tld": (False, False),
    "uniqueEntries": (False, False),
    "validationLevel": (True, True),
}
"""By filter: whether its values add up while entries are counted, and while certificates are."""


def test_the_table_has_every_filter_with_a_reason():
    assert DEFAULT.filters.keys() == _VALUES.keys()
    assert len(DEFAULT.parameters) == 15
    assert all(one.reason != FilterParameter.reason for one in DEFAULT.parameters)


@pytest.mark.parametrize("name", _VALUES)
def test_values_of_a_filter_add_up_only_where_nothing_counts_twice(name):
    entries, certificates = _VALUES[name]
    assert adds_up_over_values(_query(), name) is entries
    assert adds_up_over_values(_query(uniqueEntries=["false"]), name) is entries
    assert adds_up_over_values(_query(uniqueEntries=["true"]), name) is certificates


@pytest.mark.parametrize("name", DEFAULT.filters)
def test_values_of_a_snapshot_never_add_up(name):
    assert not adds_up_over_values(_query(expirationStatus=["VALID"]), name)


@pytest.mark.parametrize("name", DEFAULT.filters)
def test_only_what_is_unique_or_judged_when_asked_does_not_add_up_over_time(name):
    value = DEFAULT.filters[name].values[0] if DEFAULT.filters[name].values else "x1"
    assert adds_up_over_time(_query(**{name: [value]})) is (name not in ("uniqueEntries", "expirationStatus"))


@pytest.mark.parametrize(
    ("expected", "filters"),
    [
        (True, {}),
        (True, {"uniqueEntries": ["false"]}),
        (True, {"tld": ["com"]}),
        (False, {"uniqueEntries": ["true"]}),
        (False, {"uniqueEntries": ["true", "false"]}),
        (False, {"uniqueEntries": ["true"], "ca": ["R12"]}),
        (False, {"expirationStatus": ["VALID"], "ca": ["R12"]}),
    ],
)
def test_counts_add_up_over_time_unless_a_filter_forbids_it(expected, filters):
    assert adds_up_over_time(_query(**filters)) is expected


def test_why_counts_do_not_add_up_names_the_filter():
    assert why_not_over_time(_query()) is None
    assert why_not_over_time(_query(uniqueEntries=["true"])).startswith("uniqueEntries: ")
    assert why_not_over_time(_query(expirationStatus=["VALID"])).endswith("judged at the moment of the request")


def test_a_series_is_a_snapshot_if_it_is_judged_when_asked():
    assert is_snapshot(_query(expirationStatus=["VALID"], ca=["R12"]))
    assert not is_snapshot(_query(uniqueEntries=["true"]))


def test_all_series_of_a_profile_are_snapshots_or_none():
    for changed in (
        {"filters": {"expirationStatus": ("VALID",)}},
        {"each": {"expirationStatus": ("VALID", "EXPIRED")}},
    ):
        moving = profile(**changed)
        assert moving.takes_snapshots
        assert all(is_snapshot(series.query) for series in moving.series)
    assert not profile(each={"ca": ("A",)}).takes_snapshots


def test_what_takes_snapshots_has_no_history_to_backfill():
    moving, plain = profile("valid", filters={"expirationStatus": ("VALID",)}), profile("all")
    assert with_history([moving, plain]) == [plain]
    assert with_history([moving, plain], ["all"]) == [plain]
    with pytest.raises(ValueError, match="valid cannot be backfilled, because expirationStatus is judged"):
        with_history([moving, plain], ["valid", "all"])
    with pytest.raises(ValueError, match="valid cannot be backfilled"):
        with_history([moving])


def test_no_other_module_names_a_path_or_a_filter_of_a_dataset():
    folder = Path(collector.__file__).parent
    words = {
        word for one in DEFAULT.parameters for word in (one.name, one.option) if word != word.lower() or "_" in word
    }
    found = []
    for file in folder.rglob("*.py"):
        if file.parent.name == "datasets":
            continue
        texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
        found += [(file.name, text) for text in texts if text in words]
        found += [(file.name, text) for text in texts if isinstance(text, str) and text.endswith(DEFAULT.path)]
    assert found == []
