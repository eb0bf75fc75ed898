import pytest

from collector.settings.schema import SECTIONS, ProfileSection, allowed, toml_keys

REFUSED = [
    ("[radar]\nbase_url = 5", "radar.base_url: found 5; allowed: https://"),
    ('[radar]\nbase_url = "http://example.com"', 'radar.base_url: found "http://example.com": http to another host'),
    ("[radar]\nrequests_per_5min = 0", "radar.requests_per_5min: found 0; allowed: a whole number from 1 to 1200"),
    ("[radar]\nrequests_per_5min = 1201", "radar.requests_per_5min: found 1201; allowed"),
    ('[radar]\nrequests_per_5min = "600"', 'radar.requests_per_5min: found "600"; allowed'),
    ("[radar]\nrequests_per_5min = 600.0", "radar.requests_per_5min: found 600.0; allowed"),
    ("[radar]\nconcurrency = true", "radar.concurrency: found true; allowed: a whole number from 1 to 64"),
    ("[radar]\nconcurrency = 65", "radar.concurrency: found 65; allowed"),
    ("[radar]\ntimeout = 30", 'radar.timeout: found 30: not a duration in quotes; allowed: a duration from "1s" to'),
    ('[radar]\ntimeout = "0s"', 'radar.timeout: found "0s": too short; allowed'),
    ('[radar]\ntimeout = "11m"', 'radar.timeout: found "11m": too long; allowed'),
    ('[radar]\nemail = "me"', 'radar.email: found "me": not an e-mail address; allowed'),
    ("[server]\nhosts = 5", "server.hosts: found 5: not a list of names; allowed: a list of host names"),
    (
        '[server]\nhosts = ["a:80"]',
        "server.hosts: found a list: it is not a host name or IP address; allowed: a list of host names",
    ),
    ("[database]\nurl = 5", "database.url: not text; allowed: sqlite:///FILE or postgresql://"),
    (
        '[database]\nurl = "mysql://u:hunter22@h/d"',
        "database.url: this kind of database is not supported; allowed: sqlite:///FILE",
    ),
    ('[database]\nupgrade = "yes"', 'database.upgrade: found "yes"; allowed: true or false'),
    ('[collection]\npublication_delay = "8d"', 'collection.publication_delay: found "8d": too long; allowed'),
    ('[collection]\nlookback = "-1d"', 'collection.lookback: found "-1d": not a duration; allowed'),
    ('[collection]\nsettle = "365d"', 'collection.settle: found "365d": too long; allowed'),
    ("[collection]\nheal = 1", "collection.heal: found 1; allowed: true or false"),
    (
        '[server]\nhost = "[::1]"',
        'server.host: found "[::1]": it is not a host name or IP address; allowed: an IP address without brackets',
    ),
    ("[server]\nport = 65536", "server.port: found 65536; allowed: a whole number from 1 to 65535, or 0 for any"),
    ("[server]\nport = -1", "server.port: found -1; allowed"),
    (
        '[log]\nlevel = "warn"',
        'log.level: found "warn" (did you mean "warning"?); allowed: debug, info, warning, error',
    ),
    ('[log]\nlevel = "INFO"', 'log.level: found "INFO" (did you mean "info"?); allowed'),
    ("[log]\nformat = []", "log.format: found an empty list; allowed: text, json"),
    ("[retentions]\nx = 1", 'retentions: unknown key (did you mean "retention"?)'),
    ("[retention]\nx = 1", "retention.x: unknown key; allowed: points_15m, points_1h"),
    (
        '[retention]\npoints_15m = "23h"',
        'retention.points_15m: found "23h": too short; allowed: a duration from "1d"',
    ),
    ("[retention]\nfetches = 5", "retention.fetches: found 5: not a duration in quotes; allowed: a duration from"),
    ("[server]\ncors = true", "server.cors: unknown key; allowed: enabled, host, port"),
]
PROFILES = [
    ("name = 5", "name: found 5; allowed: 1 to 64 of"),
    ('name = ""', 'name: found ""; allowed'),
    ('name = "a/b"', 'name: found "a/b"; allowed'),
    ('name = "-a"', 'name: found "-a"; allowed'),
    ('name = "ä"', 'name: found "ä"; allowed'),
    (f'name = "{"a " * 40}"', "name: found "),
    ('agg_interval = "15min"', 'agg_interval: found "15min" (did you mean "15m"?); allowed: 15m, 1h, 1d, 1w'),
    ("agg_interval = 15", "agg_interval: found 15; allowed"),
    ("since = 2026-01-31T00:00:00", "since: found 2026-01-31T00:00:00: a time without an offset; allowed: a date like"),
    ("since = 00:00:00", "since: found 00:00:00: not a date; allowed"),
    ('since = "soon"', 'since: found "soon": neither a date nor a date and time; allowed'),
    ("filters = 5", "filters: found 5; allowed: a table"),
    ("each = []", "each: found an empty list; allowed: a table"),
    ('lookback = "x"', 'lookback: found "x": not a duration; allowed'),
    ("heal = 0", "heal: found 0; allowed: true or false"),
    ("[profiles.filter]", 'filter: unknown key (did you mean "filters"?); allowed: name, agg_interval, since, pub'),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_a_wrong_value_is_rejected_with_the_value_and_the_allowed_ones(text, expected, report):
    (line,) = report(text)
    assert line.startswith(f"config.toml:{1 if 'retentions' in text else 2}: {expected}")
    assert "hunter22" not in line


@pytest.mark.parametrize(("text", "expected"), PROFILES)
def test_a_wrong_value_of_a_profile_is_refused_alike(text, expected, report):
    required = {"name": 'name = "a"\n', "agg_interval": 'agg_interval = "1h"\n'}
    rest = "".join(line for key, line in required.items() if not text.startswith(key))
    (line,) = report(f"[[profiles]]\n{rest}{text}")
    assert line.startswith(f"config.toml:{rest.count(chr(10)) + 2}: profiles[0].{expected}")


@pytest.mark.parametrize("model", [*SECTIONS.values(), ProfileSection])
def test_every_key_names_its_allowed_values(model):
    assert all(allowed(model, key) for key in model.model_fields)


def test_secrets_are_files_in_toml():
    assert {"api_token_file", "api_key_file", "email", "email_file"} < set(toml_keys(SECTIONS["radar"]))
    assert {"api_token", "api_key"}.isdisjoint(toml_keys(SECTIONS["radar"]))
    assert "token_file" in toml_keys(SECTIONS["server"])
    assert {"url", "url_file"} < set(toml_keys(SECTIONS["database"]))
