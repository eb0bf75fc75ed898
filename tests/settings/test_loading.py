from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.settings import ConfigurationError, Secret, load
from collector.settings.settings import CollectionSettings, DatabaseSettings, LogSettings, RadarSettings, ServerSettings
from tests.harness.config_fuzz import PASSWORD

NOW = datetime(2026, 11, 1, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_the_defaults_are_those_of_the_documentation(load):
    settings = load()
    day = timedelta(days=1)
    assert settings.radar == RadarSettings("https://api.cloudflare.com/client/v4", 600, 8, timedelta(seconds=30), None)
    assert settings.database == DatabaseSettings(
        Secret("sqlite:///collector.db"), upgrade=True, lease=timedelta(seconds=30)
    )
    assert settings.collection == CollectionSettings(timedelta(minutes=2), day, 14 * day, heal=True)
    server = ServerSettings(enabled=True, host="127.0.0.1", port=8080, token=None, anonymous_read=False, hosts=[])
    assert settings.server == server
    assert settings.server.upstream_fallback is False
    assert settings.log == LogSettings("info", "text")
    assert (settings.profiles, settings.secrets) == ((), ())


def test_the_example_is_a_configuration_of_defaults(load):
    settings, defaults = load(EXAMPLE.read_text()), load()
    for section in ("radar", "database", "collection", "server", "log"):
        assert getattr(settings, section) == getattr(defaults, section)
    assert [profile.name for profile in settings.profiles] == ["all", "by-owner"]


def test_the_example_is_a_configuration_with_every_comment_taken_in(load, secret_file):
    for name in ("cloudflare-token", "server-token", "database-url"):
        secret_file(name, "postgresql://h/d" if name == "database-url" else "0123456789abcdef")
    left_out = ("ca_file", "email", "api_key_file", "proxy_file", 'url = "sqlite')
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        bare = line.removeprefix("# ")
        is_setting = line.startswith("# ") and " = " in bare and bare.split(" = ")[0].isidentifier()
        lines.append("" if bare.startswith(left_out) else bare if is_setting else line)
    settings = load("\n".join(lines))
    assert settings.radar.credentials is not None
    assert settings.server.token is not None
    assert settings.database.url == Secret("postgresql://h/d")
    assert settings.profiles[0].since == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_example_offers_a_profile_that_counts_each_certificate_once(load):
    lines = EXAMPLE.read_text().splitlines()
    settings = load("\n".join(line[1:] if line[1:2] not in ("", " ") and line[0] == "#" else line for line in lines))
    offered = {profile.name: profile for profile in settings.profiles}
    assert [*offered] == ["unique", "all", "by-owner"]
    assert offered["unique"].filters == {"uniqueEntries": ("true",)}


def test_settings_are_frozen(load):
    settings = load()
    with pytest.raises(AttributeError):
        settings.radar.timeout = timedelta(0)
    with pytest.raises(AttributeError):
        settings.profiles = ()


def test_the_clock_is_read_if_now_is_missing(folder):
    (folder / "config.toml").write_text('[[profiles]]\nname = "a"\nagg_interval = "1d"\nsince = 9999-01-01')
    with pytest.raises(ConfigurationError, match=r"profiles\[0\]\.since"):
        load(None, {})


def test_every_problem_is_reported_at_once(report):
    text = """[radar]
api_token_file = "nowhere"
timout = "30s"
[collection]
lookback = 1
[[profiles]]
name = "a"
agg_interval = "1x"
[profiles.filters]
ca_ownr = "x"
validation_level = "DOMIAN"
tld = "de"
log = "x"
[[profiles]]
name = "a"
agg_interval = "1h"
"""
    assert [line.split(": ")[:2] for line in report(text, {"COLLECTOR_RADAR__TIMOUT": "x"})] == [
        ["environment", "COLLECTOR_RADAR__TIMOUT"],
        ["config.toml:2", "radar.api_token_file"],
        ["config.toml:3", "radar.timout"],
        ["config.toml:5", "collection.lookback"],
        ["config.toml:8", "profiles[0].agg_interval"],
        ["config.toml:10", "profiles[0].filters.ca_ownr"],
        ["config.toml:11", "profiles[0].filters.validation_level"],
        ["config.toml:12", "profiles[0].filters.tld"],
        ["config.toml:15", "profiles[1].name"],
    ]


def test_a_refusal_carries_no_other_error_that_might_quote_a_secret(load):
    with pytest.raises(ConfigurationError) as refused:
        load(f'[database]\nurl = "mysql://u:{PASSWORD}@h/d"')
    assert refused.value.__cause__ is refused.value.__context__ is None
