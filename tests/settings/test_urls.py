from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.settings.values import (
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
        ("it starts neither", "ftp://example.com"),
        ("it starts neither", "api.cloudflare.com"),
        ("it starts neither", "//example.com"),
        ("it contains a user or password", "https://me:hunter22@example.com"),
        ("it contains a user or password", "http://127.0.0.1@example.com"),
        ("it contains a query or fragment", "https://example.com?x=1"),
        ("it contains a query or fragment", "https://example.com#x"),
        ("it contains a blank", "https://exa mple.com"),
        ("it contains a blank", "https://example.com\\@evil"),
        ("it contains a blank", "https://exämple.com"),
        ("it contains a blank", "https://example.com/\x00"),
        ("it contains a blank", ""),
        ("it is not a host name", "https://"),
        ("it is not a host name", "https:///path"),
        ("it is not a host name", "https://-/"),
        ("it is not a host name", "http://127.1"),
        ("its port", "https://example.com:0"),
        ("its port", "https://example.com:99999"),
        ("its port", "https://example.com:"),
        ("its port", "https://example.com:x"),
        ("its brackets", "https://[::1"),
        ("its brackets", "https://[hunter22]"),
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
        ("it does not start with http", "https://proxy.example:3128"),
        ("it does not start with http", "socks5://me:hunter22@proxy:1080"),
        ("it does not start with http", "proxy:3128"),
        ("it contains a second @", "http://me:hunter22@x@proxy:3128"),
        ("it contains a path", "http://me:hunter22/@proxy:3128"),
        ("it contains a path", "http://proxy:3128/path"),
        ("it contains a path", "http://proxy:3128?x=hunter22"),
        ("it contains a blank", "http://me:hunter 22@proxy:3128"),
        ("its port", "http://proxy:99999"),
        ("it is not a host name", "http://me:hunter22@"),
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
def test_other_hosts_are_rejected(host):
    with pytest.raises(ValueError, match=r"^it is not a host name"):
        bind_host(host)


@pytest.mark.parametrize(
    ("expected", "host"),
    [(True, "127.0.0.1"), (True, "127.9.9.9"), (True, "::1"), (True, "localhost"), (False, "0.0.0.0"), (False, "::")],
)
def test_only_loopback_addresses_are_loopback(expected, host):
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
        ("it is not the address", "collector.db"),
        ("it is not the address", ""),
        ("this kind of database is not supported$", "mysql://u:hunter22@h/d"),
        (r'this kind of database is not supported \(did you mean "postgresql"\?\)', "postgres://u:hunter22@h/d"),
        (r'this kind of database is not supported \(did you mean "sqlite"\?\)', "sqlite3:///x.db"),
        ("it contains a host", "sqlite://x.db"),
        ("it is not the path of a file", "sqlite://"),
        ("it is not the path of a file", "sqlite:///"),
        ("it is not the path of a file", "sqlite:///:memory:"),
        ("it is not the path of a file", "sqlite:///file:x.db"),
        ("it contains a query", "sqlite:///x.db?mode=ro"),
        ("it contains a query", "sqlite:///x\x00.db"),
        ("it contains a % without", "sqlite:///100%.db"),
        ("it contains a %XX that", "sqlite:///100%ab.db"),
        ("its ~ is not", "sqlite:///~nobody-of-this-name/x.db"),
        ("it has a ~ after", "sqlite:////~/x.db"),
        (
            r"it contains an unknown option 'ssl_mode' \(did you mean \"sslmode\"\?\)",
            "postgresql://u:hunter22@h/d?ssl_mode=x",
        ),
        ("it contains an unknown option", "postgresql://h:1?hunter22@h/d"),
        ("its port", "postgresql://h:abc/d"),
        ("it contains a second @", "postgresql://u:hunter22@@h/d"),
        ("it contains a / or #", "postgresql://u:hunter22/x@h/d"),
        ("it contains a / or #", "postgresql://u@h/d#x"),
        ("it contains a blank", "postgresql://u:hunter22 x@h/d"),
        ("it is not a host name", "postgresql://u:hunter22@h!/d"),
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
def test_passwords_are_found_in_valid_and_invalid_addresses(expected, url):
    assert passwords(url) == expected


@settings(max_examples=30)
@given(st.text())
def test_only_value_error_is_raised(text):
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
