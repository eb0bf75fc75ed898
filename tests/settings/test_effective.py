from datetime import UTC, datetime

import pytest

from collector.settings.loading import EffectiveSetting, effective, read_settings

TEXT = """
[radar]
timeout = "60s"
email = "me@example.com"
[collection]
heal = false
[[profiles]]
name = "a"
agg_interval = "1h"
since = 2026-01-31
settle = "2d"
[profiles.filters]
validationLevel = "DOMAIN"
[profiles.each]
log_api = ["STATIC", "RFC6962"]
"""
ENVIRON = {
    "CLOUDFLARE_API_TOKEN": "hunter22hunter22",
    "COLLECTOR_DATABASE__URL": "postgresql+psycopg://u:hunter22@h/d",
    "COLLECTOR_SERVER__TOKEN": "hunter22hunter22",
    "COLLECTOR_RADAR__PROXY": "http://me:hunter22@proxy:3128",
}


@pytest.fixture
def rows(folder):
    (folder / "config.toml").write_text(TEXT)
    loaded = read_settings(None, ENVIRON, {"server.port": 0}, datetime(2026, 11, 1, tzinfo=UTC), required=True)
    return {row.key: row for row in effective(loaded)}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("radar.timeout", "1m", "config.toml:3"),
        ("radar.concurrency", 8, "default"),
        ("radar.api_token", "***", "CLOUDFLARE_API_TOKEN"),
        ("radar.api_key", None, "default"),
        ("radar.email", "me@example.com", "config.toml:4"),
        ("database.url", "postgresql://u:***@h/d", "COLLECTOR_DATABASE__URL"),
        ("radar.proxy", "http://me:***@proxy:3128", "COLLECTOR_RADAR__PROXY"),
        ("radar.ca_file", None, "default"),
        ("server.port", 0, "command line"),
        ("server.token", "***", "COLLECTOR_SERVER__TOKEN"),
        ("collection.heal", False, "config.toml:6"),
        ("collection.publication_delay", "2m", "default"),
        ("log.level", "info", "default"),
        ("profiles[0].name", "a", "config.toml:8"),
        ("profiles[0].agg_interval", "1h", "config.toml:9"),
        ("profiles[0].since", "2026-01-31T00:00:00Z", "config.toml:10"),
        ("profiles[0].settle", "2d", "config.toml:11"),
        ("profiles[0].heal", False, "config.toml:6"),
        ("profiles[0].lookback", "1d", "default"),
        ("profiles[0].filters.validation_level", ["DOMAIN"], "config.toml:13"),
        ("profiles[0].each.log_api", ["STATIC", "RFC6962"], "config.toml:15"),
        ("profiles[0].series", ["a/STATIC", "a/RFC6962"], "config.toml:7"),
    ],
)
def test_every_setting_says_where_it_came_from(key, value, origin, rows):
    assert rows[key] == EffectiveSetting(key, value, origin)


def test_no_secret_is_shown(rows):
    assert "hunter22" not in repr(rows)
