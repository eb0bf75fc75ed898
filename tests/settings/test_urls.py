from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.settings.urls import (
    base_url,
    bind_host,
    database_url,
    is_loopback,
    passwords,
    proxy_url,
    sqlite_path,
    sqlite_url,
    without_password,
)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("https://api.cloudflare.com/client/v4", "https://api.cloudflare.com/client/v4/"),
        ("https://radar.example:8443", "https://radar.example:8443"),
        ("http://127.0.0.1:8787/client/v4", "http://127.0.0.1:8787/client/v4"),
        ("http://127.200.0.1", "http://127.200.0.1"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        ("http://localhost:1", "http://localhost:1"),
    ],
)
def test_https_anywhere_and_http_to_this_machine_are_allowed(expected, text):
    assert base_url(text) == expected


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("http to another host", "http://api.cloudflare.com"),
        ("http to another host", "http://127.0.0.1.example.com"),
        ("http to another host", "http://localhost.example"),
        ("http to another host", "http://0.0.0.0:1"),
        ("neither https", "ftp://example.com"),
        ("neither https", "api.cloudflare.com"),
        ("neither https", "//example.com"),
        ("a user or password", "https://me:hunter22@example.com"),
        ("a user or password", "http://127.0.0.1@example.com"),
        ("a query or fragment", "https://example.com?x=1"),
        ("a query or fragment", "https://example.com#x"),
        ("a blank", "https://exa mple.com"),
        ("a blank", "https://example.com\\@evil"),
        ("a blank", "https://exämple.com"),
        ("a blank", "https://example.com/\x00"),
        ("a blank", ""),
        ("no host", "https://"),
        ("no host", "https:///path"),
        ("no host", "https://-/"),
        ("no host", "http://127.1"),
        ("a port", "https://example.com:0"),
        ("a port", "https://example.com:99999"),
        ("a port", "https://example.com:"),
        ("a port", "https://example.com:x"),
        ("brackets", "https://[::1"),
        ("brackets", "https://[hunter22]"),
    ],
)
def test_other_addresses_of_radar_are_refused_without_quoting_them(reason, text):
    with pytest.raises(ValueError, match=f"^{reason}") as refused:
        base_url(text)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["http://proxy.example:3128", "http://me:pass%40word@proxy:8080", "http://[::1]:3128", "http://proxy"]
)
def test_a_proxy_is_an_http_address_with_or_without_credentials(text):
    assert proxy_url(f"{text}/") == proxy_url(text) == text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("not http", "https://proxy.example:3128"),
        ("not http", "socks5://me:hunter22@proxy:1080"),
        ("not http", "proxy:3128"),
        ("a second @", "http://me:hunter22@x@proxy:3128"),
        ("a path", "http://me:hunter22/@proxy:3128"),
        ("a path", "http://proxy:3128/path"),
        ("a path", "http://proxy:3128?x=hunter22"),
        ("a blank", "http://me:hunter 22@proxy:3128"),
        ("a port", "http://proxy:99999"),
        ("no host", "http://me:hunter22@"),
    ],
)
def test_other_proxies_are_refused_without_quoting_them(reason, text):
    with pytest.raises(ValueError, match=f"^{reason}") as refused:
        proxy_url(text)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "collector", "a-b.example.com", "localhost"])
def test_addresses_and_names_can_be_bound(host):
    assert bind_host(host) == host


@pytest.mark.parametrize("host", ["", "[::1]", "a b", "256.1.1.1", "127.0.0.1:80", "http://x", "-a", "ä", "a" * 254])
def test_other_hosts_cannot(host):
    with pytest.raises(ValueError, match=r"^no host"):
        bind_host(host)


@pytest.mark.parametrize(
    ("expected", "host"),
    [(True, "127.0.0.1"), (True, "127.9.9.9"), (True, "::1"), (True, "localhost"), (False, "0.0.0.0"), (False, "::")],
)
def test_loopback_is_told_from_the_rest(expected, host):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("sqlite:///collector.db", "sqlite:///collector.db"),
        ("sqlite:////var/lib/collector/history.db", "sqlite+aiosqlite:////var/lib/collector/history.db"),
        ("postgresql://user:pw@host/name", "postgresql+psycopg://user:pw@host/name"),
        ("postgresql://user:p%40w@[::1]:5433/name?sslmode=require",) * 2,
        ("postgresql:///name?host=/run/postgresql",) * 2,
        ("postgresql://host",) * 2,
        ("sqlite:///~/collector.db",) * 2,
        ("sqlite:////data/100%25.db",) * 2,
        ("postgresql://h/d?sslmode=require&options=-c%20work_mem%3D8MB&target_session_attrs=read-write",) * 2,
    ],
)
def test_sqlite_and_postgres_are_allowed_and_a_driver_is_dropped(expected, text):
    assert database_url(text) == expected


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("not the address", "collector.db"),
        ("not the address", ""),
        ("another kind of database$", "mysql://u:hunter22@h/d"),
        (r'another kind of database \(did you mean "postgresql"\?\)', "postgres://u:hunter22@h/d"),
        (r'another kind of database \(did you mean "sqlite"\?\)', "sqlite3:///x.db"),
        ("a host, where", "sqlite://x.db"),
        ("no file", "sqlite://"),
        ("no file", "sqlite:///"),
        ("no file", "sqlite:///:memory:"),
        ("no file", "sqlite:///file:x.db"),
        ("a query", "sqlite:///x.db?mode=ro"),
        ("a query", "sqlite:///x\x00.db"),
        ("a % without", "sqlite:///100%.db"),
        ("a %XX that", "sqlite:///100%ab.db"),
        ("a ~ that names", "sqlite:///~nobody-of-this-name/x.db"),
        ("a ~ after", "sqlite:////~/x.db"),
        (
            r"an unknown option 'ssl_mode' \(did you mean \"sslmode\"\?\) in it",
            "postgresql://u:hunter22@h/d?ssl_mode=x",
        ),
        ("an unknown option in it", "postgresql://h:1?hunter22@h/d"),
        ("a port", "postgresql://h:abc/d"),
        ("a second @", "postgresql://u:hunter22@@h/d"),
        ("a / or #", "postgresql://u:hunter22/x@h/d"),
        ("a / or #", "postgresql://u@h/d#x"),
        ("a blank", "postgresql://u:hunter22 x@h/d"),
        ("no host", "postgresql://u:hunter22@h!/d"),
    ],
)
def test_other_stores_are_refused_without_quoting_them(reason, text):
    with pytest.raises(ValueError, match=f"^{reason}") as refused:
        database_url(text)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ("sqlite:///collector.db", "sqlite:///collector.db"),
        ("postgresql://u:***@h:1/d", "postgresql://u:pw@h:1/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/run/pg&password=***", "postgresql:///d?host=/run/pg&password=pw"),
        ("postgresql://h/d?sslpassword=***&user=u", "postgresql://h/d?sslpassword=pw&user=u"),
    ],
)
def test_an_address_is_shown_without_its_password(expected, url):
    assert without_password(url) == expected


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ((), "sqlite:///collector.db"),
        (("p%40w", "p@w"), "postgresql://u:p%40w@h/d"),
        (("a:b@c",), "mysql://u:a:b@c@h/d"),
        (("secret",), "postgresql:///d?password=secret"),
    ],
)
def test_passwords_are_found_in_right_and_wrong_addresses(expected, url):
    assert passwords(url) == expected


@settings(max_examples=30)
@given(st.text())
def test_nothing_but_value_error_comes_out(text):
    passwords(text)
    for check in (base_url, bind_host, database_url):
        for prefix in ("", "https://", "http://127.0.0.1", "postgresql://", "sqlite:///", "https://["):
            try:
                assert check(prefix + text)
            except ValueError as error:
                assert len(text) < 12 or text not in str(error)  # noqa: PT017 - either outcome is right


@given(st.text(min_size=1))
def test_a_path_survives_being_written_as_an_address(text):
    path = Path("/") / text.replace("\0", "").replace("/", "")
    try:
        assert sqlite_path(sqlite_url(path)) == path
    except ValueError:
        assert not str(path).isprintable() or path.name in ("", ":memory:") or path == Path("/~")
