from pathlib import Path

import pytest

from collector.interval import AggInterval
from collector.settings import RetentionSettings
from collector.settings import load as load_settings
from collector.settings.values import parse_duration

AUTHORITY = Path(__file__).parents[1] / "faults" / "certificates" / "authority.pem"
LOOPBACK = ["127.0.0.1", "127.0.0.9", "::1", "localhost"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_is_served_without_a_token(host, load):
    assert load(f'[server]\nhost = "{host}"').server.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "collector.example"])
def test_other_machines_are_not_served_without_a_token(host, report):
    (line,) = report(f'[server]\n\nhost = "{host}"')
    assert line == (
        f'config.toml:3: server.host: found "{host}", which other machines reach; allowed: with token_file '
        "(or COLLECTOR_SERVER__TOKEN) or anonymous_read = true; without: 127.0.0.1, ::1, localhost"
    )


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("anonymous_read = true", {}),
        ("enabled = false", {}),
        ("", {"COLLECTOR_SERVER__TOKEN": "0123456789abcdef"}),
        ("", {"COLLECTOR_SERVER__ANONYMOUS_READ": "true"}),
    ],
)
def test_other_machines_are_served_once_the_operator_says_how(text, environ, load):
    assert load(f'[server]\nhost = "0.0.0.0"\n{text}', environ).server.host == "0.0.0.0"


def test_an_unreadable_token_is_one_problem(report):
    assert len(report('[server]\nhost = "0.0.0.0"\ntoken_file = "none"')) == 1


def test_a_host_from_the_environment_is_refused_by_its_variable(report):
    (line,) = report(environ={"COLLECTOR_SERVER__HOST": "0.0.0.0"})
    assert line.startswith('environment: COLLECTOR_SERVER__HOST: found "0.0.0.0", which other machines reach')


@pytest.mark.parametrize(
    ("headers", "environ"),
    [
        ({"Authorization": "Bearer t"}, {"CLOUDFLARE_API_TOKEN": "t"}),
        ({"Authorization": "Bearer t"}, {"CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_EMAIL": "me@example.com"}),
        (
            {"X-Auth-Email": "me@example.com", "X-Auth-Key": "k"},
            {"CLOUDFLARE_EMAIL": "me@example.com", "CLOUDFLARE_API_KEY": "k"},
        ),
    ],
)
def test_credentials_are_a_token_or_an_address_with_its_key(headers, environ, load):
    assert load(environ=environ).radar.credentials.headers() == headers


def test_credentials_may_be_missing(load):
    assert load().radar.credentials is None


def test_email_and_key_may_come_from_two_sources(load):
    settings = load('[radar]\nemail = "me@example.com"', {"CLOUDFLARE_API_KEY": "k"})
    assert settings.radar.credentials.headers() == {"X-Auth-Email": "me@example.com", "X-Auth-Key": "k"}


@pytest.mark.parametrize(
    ("expected", "environ"),
    [
        ("CLOUDFLARE_EMAIL: an e-mail address without a key", {"CLOUDFLARE_EMAIL": "me@example.com"}),
        ("CLOUDFLARE_API_KEY: a key without an e-mail address", {"CLOUDFLARE_API_KEY": "hunter22"}),
        (
            "CLOUDFLARE_API_TOKEN: two kinds of credentials; the other is at CLOUDFLARE_API_KEY; allowed: a token, or",
            {"CLOUDFLARE_API_TOKEN": "hunter22", "CLOUDFLARE_EMAIL": "me@x.org", "CLOUDFLARE_API_KEY": "hunter23"},
        ),
    ],
)
def test_half_a_pair_and_two_kinds_at_once_are_refused(expected, environ, report):
    (line,) = report(environ=environ)
    assert line.startswith(f"environment: {expected}")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('config.toml:2: collection.settle: found settle "1h" with lookback "1d"', 'settle = "1h"'),
        ('config.toml:2: collection.lookback: found settle "14d" with lookback "20d"', 'lookback = "20d"'),
    ],
)
def test_settle_is_at_least_lookback(line, text, report):
    profile = '[[profiles]]\nname = "a"\nagg_interval = "1d"\n'
    assert report(f"[collection]\n{text}\n{profile}") == [f"{line}; allowed: settle is at least lookback"]


def test_a_wrong_duration_is_not_compared(report):
    (line,) = report('[collection]\nsettle = "soon"\nlookback = "20d"')
    assert "soon" in line


RETAINED = """[collection]
lookback = "{lookback}"
settle = "3d"
[retention]
points_15m = "{kept}"
[[profiles]]
name = "quarters"
agg_interval = "{agg_interval}"
"""


@pytest.mark.parametrize(
    ("kept", "lookback", "agg_interval"), [("3d", "1d", "15m"), ("1w", "3d", "15m"), ("1d", "1d", "1h")]
)
def test_points_may_be_deleted_once_no_fire_reads_them_again(kept, lookback, agg_interval, load):
    settings = load(RETAINED.format(kept=kept, lookback=lookback, agg_interval=agg_interval))
    assert settings.retention.points == {AggInterval.FIFTEEN_MINUTES: parse_duration(kept)}


def test_points_that_are_still_read_again_are_not_deleted(report):
    (line,) = report(RETAINED.format(kept="2d", lookback="1d", agg_interval="15m"))
    assert line == (
        'config.toml:5: retention.points_15m: found "2d", but the profile "quarters" reads the last "3d" again '
        '(settle, lookback); allowed: at least "3d"'
    )


def test_nothing_is_deleted_by_default(load):
    assert load().retention == RetentionSettings()


def test_a_sqlite_store_has_no_hypertable(report, load):
    (line,) = report("[database]\ntimescale = true")
    assert line == (
        "config.toml:2: database.timescale: found true with a SQLite url; allowed: true with postgresql://USER@HOST/NAME"
    )
    assert load('[database]\nurl = "postgresql://h/d"\ntimescale = true').database.timescale


PROXY = "http://me:hunter22@proxy:3128"


def test_a_proxy_is_taken_and_its_password_is_a_secret(load, secret_file):
    secret_file("proxy", PROXY)
    for text, environ in (
        (f'[radar]\nproxy = "{PROXY}"', {}),
        ('[radar]\nproxy_file = "proxy"', {}),
        ("", {"COLLECTOR_RADAR__PROXY": PROXY}),
    ):
        settings = load(text, environ)
        assert settings.radar.proxy.reveal() == PROXY
        assert "hunter22" in settings.secrets
        assert "hunter22" not in repr(settings)


def test_no_proxy_comes_from_the_variables_of_other_programs(load):
    assert load("", {"HTTPS_PROXY": PROXY, "https_proxy": PROXY, "ALL_PROXY": PROXY}).radar.proxy is None


def test_a_proxy_for_an_address_without_tls_is_refused(report):
    (line,) = report(f'[radar]\nbase_url = "http://127.0.0.1:8787"\nproxy = "{PROXY}"')
    assert line.startswith(
        'config.toml:3: radar.proxy: found a proxy with base_url "http://127.0.0.1:8787"; allowed: only with https://'
    )
    assert "hunter22" not in line


def test_a_wrong_proxy_is_refused_without_its_password(report):
    (line,) = report('[radar]\nproxy = "socks5://me:hunter22@proxy:1080"')
    assert line.startswith("config.toml:2: radar.proxy: it does not start with http://")
    assert "hunter22" not in line


def test_authorities_are_read_from_the_folder_of_the_configuration(folder, monkeypatch):
    (folder / "etc").mkdir()
    (folder / "etc" / "ca.pem").write_text(AUTHORITY.read_text())
    (folder / "etc" / "c.toml").write_text('[radar]\nca_file = "ca.pem"')
    assert load_settings("etc/c.toml", {}).radar.ca_file == "etc/ca.pem"
    assert load_settings(None, {"COLLECTOR_RADAR__CA_FILE": str(AUTHORITY)}, required=False).radar.ca_file == str(
        AUTHORITY
    )


@pytest.mark.parametrize(
    ("reason", "name"), [("there is no such file", "none.pem"), ("it contains no certificate", "text")]
)
def test_a_file_without_authorities_is_refused(reason, name, report, folder):
    (folder / "text").write_text("no certificate")
    (line,) = report(f'[radar]\nca_file = "{name}"')
    assert line.startswith(f'config.toml:2: radar.ca_file: found "{name}": {reason}')
