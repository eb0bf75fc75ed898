import pytest

from collector.profile import FILTERS
from collector.settings.filters import choose


def problems(filters=None, each=None):
    return dict(choose(filters or {}, each or {}).problems)


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
    chosen = choose(filters, {})
    assert (chosen.filters, chosen.problems) == (expected, [])


def test_each_keeps_the_order_of_the_operator():
    chosen = choose({}, {"log_api": ["STATIC", "RFC6962"], "has_wildcards": [True, False]})
    assert list(chosen.each.items()) == [("logApi", ("STATIC", "RFC6962")), ("hasWildcards", ("true", "false"))]
    assert chosen.problems == []


@pytest.mark.parametrize("parameter", FILTERS.values(), ids=lambda p: p.name)
def test_every_filter_is_accepted_in_both_spellings_and_both_tables(parameter):
    value = parameter.values[0] if parameter.values else "ab"
    for spelling in (parameter.name, parameter.option):
        assert choose({spelling: value}, {}).filters == {parameter.name: (value,)}
        assert choose({}, {spelling: [value]}).each == {parameter.name: (value,)}


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
def test_what_the_api_would_not_take_is_refused(expected, filters):
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


def test_each_takes_lists_alone():
    assert problems(each={"ca": "x"})[("each", "ca")].startswith('found "x"; allowed: a list, each value text')
    assert problems(each={"ca": []})[("each", "ca")].startswith("found an empty list")
    assert problems(each={"log": [["a", "b"]]})[("each", "log", 0)].startswith("found a list")


def test_a_filter_in_two_spellings_is_refused_and_its_values_are_still_checked():
    assert problems({"ca_owner": "x", "caOwner": 5}) == {
        ("filters", "caOwner"): "found 5; allowed: text of 1 to 1000 characters"
    }
    chosen = choose({"ca_owner": "x", "caOwner": 5}, {})
    assert (("filters", "caOwner"), "the same filter as filters.ca_owner; keep one spelling") in chosen.problems


def test_a_filter_is_fixed_or_varied():
    assert problems({"tld": "de"}, {"tld": ["com"]}) == {
        ("each", "tld"): "also stands as filters.tld; a filter is either fixed or varied"
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
def test_tld_stands_beside_no_log_and_no_entry_type(where, against, filters, each):
    assert problems(filters, each) == {where: f"cannot be combined with {against}: Radar refuses that"}


def test_tld_stands_beside_everything_else():
    others = [p for p in FILTERS.values() if p.name not in {"tld", "log", "logApi", "logOperator", "entryType"}]
    assert problems({"tld": "de"} | {p.option: p.values[0] if p.values else "x" for p in others}) == {}


def test_more_series_than_anybody_wants_are_refused_before_they_are_expanded():
    many = [f"x{number}" for number in range(1000)]
    assert problems(each={"ca": many, "ca_owner": many, "log": many}) == {
        ("each",): "found 1000000000 combinations; allowed: at most 10000 series"
    }


def test_two_series_of_one_label_are_refused():
    assert problems(each={"ca": ["a", "a/b"], "log": ["b/c", "c"]}) == {
        ("each",): 'two series would both be labelled "a/b/c"; change a value'
    }


def test_a_star_is_refused_instead_of_taken_literally():
    problems = choose({"tld": ["*"], "ca": "*"}, {"ca_owner": ["DigiCert, Inc.", "*"]}).problems
    assert [path for path, _ in problems] == [("filters", "tld", 0), ("filters", "ca"), ("each", "ca_owner", 1)]
    assert "leave the key out" in problems[0][1]
    assert "list the values, because a star is not supported yet" in problems[2][1]
