"""Which addresses may be configured. Every refusal is a ValueError with the reason, and none quotes the address."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, unquote_to_bytes, urlencode, urlsplit

from collector.profile import nearest
from collector.settings.secret import MASK

_URL = re.compile(r"[\x21-\x7e]+")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_DATABASE = re.compile(r"(?P<backend>[a-z0-9]+)(?:\+[a-z0-9_]+)?://(?P<rest>.*)", re.DOTALL)
_BACKENDS = ("sqlite", "postgresql")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPTION = re.compile(r"[a-z_]{1,40}")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine is reached under *host*."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def base_url(text: str) -> str:
    """Check the address of the API: https, or http to this machine; without user, query and slash at the end."""
    if not _URL.fullmatch(text) or "\\" in text:
        raise ValueError("a blank or another character that an address cannot have")
    parts = _split(text)
    if parts.scheme not in ("https", "http"):
        raise ValueError("neither https:// nor http://")
    if "@" in parts.netloc:
        raise ValueError("a user or password in it")
    if "?" in text or "#" in text:
        raise ValueError("a query or fragment in it")
    host_of(parts.netloc)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("http to another host would send the token in clear")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """Check the address of a proxy: http://HOST:PORT, with or without USER:PASSWORD@ before the host."""
    if not _URL.fullmatch(text) or "\\" in text:
        raise ValueError("a blank or another character that must be written as %XX")
    parts = _split(text)
    if parts.scheme != "http":
        raise ValueError("not http://, which is how CONNECT is sent; Radar is reached by TLS within it")
    user, _, server = parts.netloc.rpartition("@")
    if "@" in user:
        raise ValueError("a second @, which a password must write as %40")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("a path, query or fragment, or a /, ? or # in the password, which must be written as %XX")
    host_of(server)
    return text.rstrip("/")


def host_of(netloc: str) -> str:
    """Take the host from `host:port`; ValueError where either cannot be."""
    parts = _split(f"//{netloc}")
    try:
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise ValueError("a port that is not 1 to 65535") from None
    if port == 0 or netloc.endswith(":"):
        raise ValueError("a port that is not 1 to 65535")
    return bind_host(host)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("brackets that hold no address of IPv6") from None


def bind_host(text: str) -> str:
    """Check a host: an address of IPv4 or IPv6 without brackets, or a name."""
    try:
        return str(ip_address(text))
    except ValueError:
        if not _HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise ValueError("no host") from None
        return text.lower()


def database_url(text: str) -> str:
    """Check the address of the store and drop a driver's name from it (`postgresql+psycopg://`)."""
    found = _DATABASE.fullmatch(text)
    if not found:
        raise ValueError("not the address of a database")
    if found["backend"] not in _BACKENDS:
        raise ValueError(f"another kind of database{nearest(found['backend'], _BACKENDS)}")
    check = _check_sqlite if found["backend"] == "sqlite" else _check_postgresql
    check(found["rest"])
    return f"{found['backend']}://{found['rest']}"


def _check_sqlite(rest: str) -> None:
    path = rest.removeprefix("/")
    if path == rest and rest:
        raise ValueError("a host, where a file needs three slashes")
    if "?" in path or not path.isprintable():
        raise ValueError("a query or an unprintable character in it")
    if path in ("", ":memory:") or path.startswith("file:"):
        raise ValueError("no file that would outlive the process")
    _sqlite_path(path)


def sqlite_path(url: str) -> Path:
    """Return the file of a SQLite store's address: `%XX` decoded, `~` replaced by the home directory; ValueError."""
    return _sqlite_path(url.partition(":///")[2]).absolute()


def _sqlite_path(escaped: str) -> Path:
    if _ESCAPE.search(escaped):
        raise ValueError("a % without two hexadecimal digits after it: write %25 for the character %")
    try:
        text = unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        raise ValueError("a %XX that is not UTF-8: write %25 for the character %") from None
    if not text.isprintable() or text in ("", ":memory:"):
        raise ValueError("no file that would outlive the process, or an unprintable character")
    if text.startswith("/~/"):
        raise ValueError("a ~ after four slashes: write three for a path in the home directory")
    return _expanded(text)


def _expanded(text: str) -> Path:
    if not text.startswith("~"):  # which a Path would make of ./~
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a ~ that names no home directory: write ./~ for a file whose name begins with it") from None


def sqlite_url(path: Path) -> str:
    """Write the address of the SQLite store in *path*."""
    return f"sqlite:///{quote(str(path.absolute()))}"


def _check_postgresql(rest: str) -> None:
    if not _URL.fullmatch(rest or "/"):
        raise ValueError("a blank or another character that must be written as %XX")
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, server = netloc.rpartition("@")
    if "@" in user:
        raise ValueError("a second @, which a password must write as %40")
    if "@" in rest.partition("?")[0][len(netloc) :] or "#" in rest:
        raise ValueError("a / or # in the password, which must be written as %2F or %23")
    if server:
        host_of(server)
    _check_options(rest.partition("?")[2])


def _check_options(query: str) -> None:
    """Refuse an option that the client library of Postgres does not know."""
    if not query:
        return
    import psycopg

    known = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            option = f" {name!r}{nearest(name, known)}" if _OPTION.fullmatch(name) else ""
            raise ValueError(f"an unknown option{option} in it")


def without_password(url: str) -> str:
    """Show a checked address of a database or proxy with `***` for its password, also one in the query."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    user, at, server = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    query = [(key, MASK if "password" in key.lower() else value) for key, value in parse_qsl(parts.query)]
    netloc = f"{name}{colon}{MASK if colon else ''}{at}{server}"
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{urlencode(query, safe='*/')}" if query else "")


def passwords(url: str) -> tuple[str, ...]:
    """Find what must not be shown of a database's or proxy's address, right or wrong, as it stands and decoded."""
    address, _, query = url.partition("://")[2].partition("?")
    user = address.rpartition("@")[0]
    found = [user.partition(":")[2], *(value for key, value in parse_qsl(query) if "password" in key.lower())]
    return tuple(dict.fromkeys(text for part in found if part for text in (part, unquote(part))))
