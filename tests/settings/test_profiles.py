from datetime import UTC, datetime, timedelta

import pytest

from collector.datasets import DEFAULT
from collector.interval import AggInterval
from collector.settings.validate import resolve_filters

COLLECTION = '[collection]\npublication_delay = "3m"\nlookback = "2d"\nsettle = "7d"\nheal = false\n'


def test_it_works(load):
    text = """
[[profiles]]
name = "by-owner"
agg_interval = "1h"
since = "2026-01-01"
[profiles.filters]
validation_level = ["DOMAIN"]
[profiles.each]
ca_owner = ["Internet Security Research Group", "DigiCert, Inc."]
has_ips = [true]
"""
    (profile,) = load(text).profiles
    assert (profile.name, profile.agg_interval) == ("by-owner", AggInterval.ONE_HOUR)
    assert profile.since == datetime(2026, 1, 1, tzinfo=UTC)
    assert profile.filters == {"validationLevel": ("DOMAIN",)}
    assert [series.label for series in profile.series] == [
        "by-owner/Internet Security Research Group/true",
        "by-owner/DigiCert, Inc./true",
    ]


def test_missing_keys_of_a_profile_come_from_collection(load):
    (profile,) = load(f'{COLLECTION}[[profiles]]\nname = "a"\nagg_interval = "1d"\n').profiles
    assert profile.publication_delay == timedelta(minutes=3)
    assert (profile.lookback, profile.settle, profile.heal) == (timedelta(days=2), timedelta(days=7), False)


def test_every_key_of_collection_can_stand_in_a_profile(load):
    own = 'publication_delay = "0s"\nlookback = "0s"\nsettle = "0s"\nheal = true\n'
    (profile,) = load(f'{COLLECTION}[[profiles]]\nname = "a"\nagg_interval = "1d"\n{own}').profiles
    assert profile.publication_delay == profile.lookback == profile.settle == timedelta(0)
    assert profile.heal is True


@pytest.mark.parametrize(("waits", "table", "own"), [(True, "", ""), (False, "[collection]\n", ""), (False, "", "x")])
def test_a_profile_waits_for_the_publication_unless_a_delay_is_set(waits, table, own, load):
    line = 'publication_delay = "2m"\n'
    text = f'{table and table + line}[[profiles]]\nname = "all"\nagg_interval = "1h"\n{own and line}'
    (profile,) = load(text).profiles
    assert (profile.waits, profile.publication_delay) == (waits, timedelta(minutes=2))


@pytest.mark.parametrize("since", ["2026-01-31", '"2026-01-31"', "2026-01-31T00:00:00Z", '"2026-01-31T01:00:00+01:00"'])
def test_since_is_text_or_a_date_of_toml(since, load):
    (profile,) = load(f'[[profiles]]\nname = "a"\nagg_interval = "1d"\nsince = {since}').profiles
    assert profile.since == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("since", ["2026-11-03", "1999-12-31"])
def test_since_lies_between_2000_and_tomorrow(since, report):
    (line,) = report(f'[[profiles]]\nname = "a"\nagg_interval = "1d"\nsince = {since}')
    assert line == (
        f"config.toml:4: profiles[0].since: {since}T00:00:00Z is out of range; "
        "allowed: 2000-01-01 to tomorrow, 2026-11-02"
    )


def test_name_and_interval_are_required(report):
    assert report("\n[[profiles]]") == [
        (
            "config.toml:2: profiles[0].name: missing; allowed: 1 to 64 of A-Z, a-z, 0-9, _, - and ., "
            "not starting with - or ."
        ),
        "config.toml:2: profiles[0].agg_interval: missing; allowed: 15m, 1h, 1d, 1w",
    ]


def test_two_profiles_with_one_name_are_rejected_with_both_lines(report):
    profile = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n'
    assert report(profile * 3) == [
        'config.toml:5: profiles[1].name: found "a", which is already used at config.toml:2; allowed: another name',
        'config.toml:8: profiles[2].name: found "a", which is already used at config.toml:2; allowed: another name',
    ]


def test_profiles_that_are_no_tables_are_refused(report):
    assert report("profiles = [1, {}]") == [
        "config.toml:1: profiles[0]: found 1; allowed: a table",
        (
            "config.toml:1: profiles[1].name: missing; allowed: 1 to 64 of A-Z, a-z, 0-9, _, - and ., "
            "not starting with - or ."
        ),
        "config.toml:1: profiles[1].agg_interval: missing; allowed: 15m, 1h, 1d, 1w",
    ]
    assert report('[profiles]\nname = "a"') == [
        "config.toml:1: profiles: found a table; allowed: a table for each, [[profiles]]"
    ]


def test_settle_of_a_profile_is_at_least_its_lookback(report):
    profile = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n'
    assert report(f'{profile}settle = "12h"') == [
        'config.toml:4: profiles[0].settle: found settle "12h" with lookback "1d"; allowed: settle is at least lookback'
    ]
    assert report(f'{profile}lookback = "15d"') == [
        (
            'config.toml:4: profiles[0].lookback: found settle "14d" with lookback "15d"; '
            "allowed: settle is at least lookback"
        )
    ]


def test_a_problem_of_a_filter_has_its_line(report):
    text = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n[profiles.filters]\ntld = [\n "com",\n "COM",\n]\nlog = "x"'
    assert [line.split(";")[0] for line in report(text)] == [
        "config.toml:5: profiles[0].filters.tld: cannot be combined with filters.log: Radar rejects that",
        'config.toml:7: profiles[0].filters.tld[1]: found "COM"',
    ]


def problems(filters=None, each=None):
    return dict(resolve_filters(filters or {}, each or {}).problems)


@pytest.mark.parametrize(
    ("expected", "filters"),
    [
        ({"caOwner": ("DigiCert, Inc.",)}, {"ca_owner": ["DigiCert, Inc."]}),
        ({"caOwner": ("a", "b")}, {"caOwner": ["a", "b"]}),
        ({"validationLevel": ("DOMAIN",)}, {"validation_level": "DOMAIN"}),
        ({"hasIps": ("true",)}, {"has_ips": True}),
        ({"hasIps": ("false",)}, {"has_ips": ["false"]}),
        ({"uniqueEntries": ("true", "false")}, {"unique_entries": [True, "false"]}),
        ({"tld": ("xn--p1ai",)}, {"tld": "xn--p1ai"}),
        ({}, {}),
    ],
)
def test_values_are_kept_under_the_names_of_the_api(expected, filters):
    chosen = resolve_filters(filters, {})
    assert (chosen.filters, chosen.problems) == (expected, [])


def test_each_keeps_the_order_of_the_operator():
    chosen = resolve_filters({}, {"log_api": ["STATIC", "RFC6962"], "has_wildcards": [True, False]})
    assert list(chosen.each.items()) == [("logApi", ("STATIC", "RFC6962")), ("hasWildcards", ("true", "false"))]
    assert chosen.problems == []


@pytest.mark.parametrize("parameter", DEFAULT.parameters, ids=lambda p: p.name)
def test_every_filter_is_accepted_in_both_spellings_and_both_tables(parameter):
    value = parameter.values[0] if parameter.values else "ab"
    for spelling in (parameter.name, parameter.option):
        assert resolve_filters({spelling: value}, {}).filters == {parameter.name: (value,)}
        assert resolve_filters({}, {spelling: [value]}).each == {parameter.name: (value,)}


@pytest.mark.parametrize(
    ("expected", "filters"),
    [
        ('unknown key (did you mean "ca_owner"?); allowed: ca, ca_owner, duration, ', {"ca_ownr": "x"}),
        ("unknown key; allowed: ca, ", {"zzz": 5}),
        ('found "DOMIAN" (did you mean "DOMAIN"?); allowed: one of DOMAIN, ORG', {"validation_level": "DOMIAN"}),
        ('found "domain" (did you mean "DOMAIN"?)', {"validation_level": "domain"}),
        ("found 5; allowed: text of 1 to 1000 characters", {"ca": 5}),
        ("found true; allowed: text", {"ca": True}),
        ("found a table; allowed: text", {"ca": {"x": 1}}),
        ("found an empty list; allowed: text", {"ca": []}),
        ('found ""; allowed: text', {"ca": ""}),
        ('found " x"; allowed: text', {"ca": " x"}),
        ('found "maybe"; allowed: one of true, false', {"has_ips": "maybe"}),
        ("found 1; allowed: one of true, false", {"has_ips": 1}),
        ('found ".com"; allowed: 2 to 63 of a-z, 0-9 and -, without a dot', {"tld": ".com"}),
    ],
)
def test_values_that_the_api_rejects_are_rejected(expected, filters):
    (key,) = filters
    assert problems(filters)[("filters", key)].startswith(expected)


def test_every_wrong_value_of_a_list_is_named():
    found = problems({"tld": ["com", "COM", ["de"], "com", {}]})
    assert {path[-1]: text.split(";")[0] for path, text in found.items()} == {
        1: 'found "COM"',
        2: "found a list",
        3: 'found "com" twice',
        4: "found a table",
    }


def test_true_and_its_text_are_the_same_value():
    assert problems({"has_ips": [True, "true"]}) == {
        ("filters", "has_ips", 1): 'found "true" twice; allowed: every value once'
    }


def test_each_accepts_only_lists():
    assert problems(each={"ca": "x"})[("each", "ca")].startswith('found "x"; allowed: a list, each value text')
    assert problems(each={"ca": []})[("each", "ca")].startswith("found an empty list")
    assert problems(each={"log": [["a", "b"]]})[("each", "log", 0)].startswith("found a list")


def test_a_filter_in_two_spellings_is_refused_and_its_values_are_still_checked():
    assert problems({"ca_owner": "x", "caOwner": 5}) == {
        ("filters", "caOwner"): "found 5; allowed: text of 1 to 1000 characters"
    }
    chosen = resolve_filters({"ca_owner": "x", "caOwner": 5}, {})
    assert (("filters", "caOwner"), "the same filter as filters.ca_owner; keep one spelling") in chosen.problems


def test_a_filter_is_fixed_or_varied():
    assert problems({"tld": "de"}, {"tld": ["com"]}) == {
        ("each", "tld"): "also set as filters.tld; a filter is either fixed or varied"
    }


@pytest.mark.parametrize(
    ("where", "against", "filters", "each"),
    [
        (("filters", "tld"), "filters.log", {"tld": "de", "log": "x"}, {}),
        (("each", "tld"), "filters.logApi", {"logApi": "STATIC"}, {"tld": ["de"]}),
        (("filters", "tld"), "each.log_operator", {"tld": "de"}, {"log_operator": ["x"]}),
        (("each", "tld"), "each.entry_type", {}, {"entry_type": ["CERTIFICATE"], "tld": ["de"]}),
        (
            ("filters", "tld"),
            "each.entry_type, filters.log",
            {"tld": "de", "log": "x"},
            {"entry_type": ["CERTIFICATE"]},
        ),
    ],
)
def test_tld_cannot_be_combined_with_log_or_entry_type(where, against, filters, each):
    assert problems(filters, each) == {where: f"cannot be combined with {against}: Radar rejects that"}


def test_tld_can_be_combined_with_every_other_filter():
    others = [p for p in DEFAULT.parameters if p.name not in {"tld", "log", "logApi", "logOperator", "entryType"}]
    assert problems({"tld": "de"} | {p.option: p.values[0] if p.values else "x" for p in others}) == {}


def test_too_many_series_are_rejected_before_they_are_expanded():
    many = [f"x{number}" for number in range(1000)]
    assert problems(each={"ca": many, "ca_owner": many, "log": many}) == {
        ("each",): "found 1000000000 combinations; allowed: at most 10000 series"
    }


def test_two_series_with_one_label_are_rejected():
    assert problems(each={"ca": ["a", "a/b"], "log": ["b/c", "c"]}) == {
        ("each",): 'two series would have the label "a/b/c"; change a value'
    }


def test_a_star_is_refused_instead_of_taken_literally():
    problems = resolve_filters({"tld": ["*"], "ca": "*"}, {"ca_owner": ["DigiCert, Inc.", "*"]}).problems
    assert [path for path, _ in problems] == [("filters", "tld", 0), ("filters", "ca"), ("each", "ca_owner", 1)]
    assert "leave the key out" in problems[0][1]
    assert 'for every value write ["*"] alone' in problems[2][1]
