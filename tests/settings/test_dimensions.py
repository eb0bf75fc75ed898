"""Profiles with a dimension: what is read, and every problem at its line."""

import pytest

from collector.datasets import DEFAULT
from collector.profile import STAR

PROFILE = '[[profiles]]\nname = "p"\nagg_interval = "1h"\n'


@pytest.mark.parametrize("word", [*DEFAULT.dimensions, "ca_owner", "Ca_Owner"])
def test_each_dimension_is_read_in_any_case(word, load):
    if word != "EXPIRATION_STATUS":
        (profile,) = load(f'{PROFILE}dimension = "{word}"').profiles
        assert {series.query.dimension for series in profile.series} == {word.upper()}
        assert [series.label for series in profile.series] == ["p"]


def test_groups_and_percentages_are_asked_for(load):
    text = 'dimension = "LOG"\ngroups = 7\nnormalization = "PERCENTAGE"\n[profiles.each]\nlog_api = ["*"]\nca = ["*"]'
    (profile,) = load(PROFILE + text).profiles
    assert profile.each == {"logApi": ("RFC6962", "STATIC"), "ca": (STAR,)}
    assert (profile.most_groups, profile.normalization, profile.series) == (7, "PERCENTAGE", ())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('dimension = "CA_OWNERS"', 'profiles[0].dimension: found "CA_OWNERS" (did you mean "CA_OWNER"?)'),
        ("dimension = 7", "profiles[0].dimension: found 7"),
        ('dimension = "EXPIRATION_STATUS"', "takes snapshots"),
        ('dimension = "LOG"\ngroups = 1', "profiles[0].groups: found 1; allowed: a whole number from 2 to 1000"),
        ('dimension = "DURATION"\ngroups = 5', "profiles[0].groups: found 5 with DURATION, which has 7 groups"),
        ("groups = 5", "profiles[0].groups: found 5 without a dimension"),
        ('normalization = "PERCENTAGE"', "without a dimension"),
        ('dimension = "LOG"\nnormalization = "MIN_MAX"', "allowed: RAW_VALUES, PERCENTAGE"),
        ('dimension = "TLD"\nfilters.log = "x"', "cannot be combined with filters.log: Radar rejects that"),
        ('dimension = "LOG_API"\nfilters.tld = "com"', "cannot be combined with filters.tld: Radar rejects that"),
        ('dimension = "LOG_OPERATOR"\neach.tld = ["com"]', "cannot be combined with each.tld: Radar rejects that"),
        ('dimension = "CA"\nfilters.ca = "R12"', "filters.ca: leaves one group of CA"),
        ('dimension = "CA"\neach.ca = ["R12", "R13"]', "each.ca: varies CA, of which the dimension has every group"),
        ('dimension = "CA"\nfilters.expiration_status = "VALID"', "is judged at the moment of the request"),
    ],
)
def test_what_does_not_go_together_is_one_problem(line, problem, report):
    (text,) = report(PROFILE + line)
    assert problem in text
    assert text.startswith("config.toml:")


def test_one_question_has_one_number_of_groups(report):
    other = PROFILE.replace('"p"', '"q"')
    (text,) = report(f'{PROFILE}dimension = "CA"\ngroups = 5\n{other}dimension = "CA"')
    assert 'profiles[1].groups: found none, but the profile "p" has the same question with 5' in text
