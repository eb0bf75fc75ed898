from datetime import UTC, datetime, timedelta

import pytest

from collector.model import AggInterval

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


def test_what_a_profile_leaves_open_comes_from_collection(load):
    (profile,) = load(f'{COLLECTION}[[profiles]]\nname = "a"\nagg_interval = "1d"\n').profiles
    assert profile.publication_delay == timedelta(minutes=3)
    assert (profile.lookback, profile.settle, profile.heal) == (timedelta(days=2), timedelta(days=7), False)


def test_every_key_of_collection_can_stand_in_a_profile(load):
    own = 'publication_delay = "0s"\nlookback = "0s"\nsettle = "0s"\nheal = true\n'
    (profile,) = load(f'{COLLECTION}[[profiles]]\nname = "a"\nagg_interval = "1d"\n{own}').profiles
    assert profile.publication_delay == profile.lookback == profile.settle == timedelta(0)
    assert profile.heal is True


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


def test_two_profiles_of_one_name_are_refused_with_both_lines(report):
    profile = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n'
    assert report(profile * 3) == [
        'config.toml:5: profiles[1].name: found "a", which is taken at config.toml:2; allowed: another name',
        'config.toml:8: profiles[2].name: found "a", which is taken at config.toml:2; allowed: another name',
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
        'config.toml:4: profiles[0].settle: found settle "12h" with lookback "1d"; allowed: settle of at least lookback'
    ]
    assert report(f'{profile}lookback = "15d"') == [
        (
            'config.toml:4: profiles[0].lookback: found settle "14d" with lookback "15d"; '
            "allowed: settle of at least lookback"
        )
    ]


def test_what_is_wrong_with_a_filter_is_found_on_its_line(report):
    text = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n[profiles.filters]\ntld = [\n "com",\n "COM",\n]\nlog = "x"'
    assert [line.split(";")[0] for line in report(text)] == [
        "config.toml:5: profiles[0].filters.tld: cannot be combined with filters.log: Radar refuses that",
        'config.toml:7: profiles[0].filters.tld[1]: found "COM"',
    ]
