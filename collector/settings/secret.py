"""Secrets that are printed as `***`, the credentials for Radar, and the checks of addresses.

A check of an address raises ValueError with the reason, without the address, which may contain a password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, unquote_to_bytes, urlencode, urlsplit

from collector.errors import did_you_mean

MASK = "***"


class Secret:
    """A text that only `reveal` returns; `str`, `repr` and formatting return `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Call it only to send or compare the text."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Credentials for Radar: an API token, or an e-mail address with its global API key."""

    token: Secret | None = None
    email: str = ""
    api_key: Secret | None = None

    def headers(self) -> dict[str, str]:
        """Return the request headers. Call it for each request, and do not store the result."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.reveal()}"}
        assert self.api_key is not None, "credentials are a token or an e-mail address with a key"
        return {"X-Auth-Email": self.email, "X-Auth-Key": self.api_key.reveal()}

    def fingerprint(self, address: str) -> str:
        """Return a short hash that identifies these credentials for *address*; it is too short to recover a secret."""
        text = "\n".join([address, *self.headers().values()])
        return hashlib.blake2b(text.encode(), digest_size=8, person=b"collector").hexdigest()

    def __repr__(self) -> str:
        return f"Credentials({MASK})"


_URL = re.compile(r"[\x21-\x7e]+")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_DATABASE = re.compile(r"(?P<backend>[a-z0-9]+)(?:\+[a-z0-9_]+)?://(?P<rest>.*)", re.DOTALL)
_BACKENDS = ("sqlite", "postgresql")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPTION = re.compile(r"[a-z_]{1,40}")


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def base_url(text: str) -> str:
    """Check the address of the API: https, or http to this machine. Returns it without a slash at its end."""
    if not _URL.fullmatch(text) or "\\" in text:
        raise ValueError("it contains a blank or another character that is not allowed in an address")
    parts = _split(text)
    if parts.scheme not in ("https", "http"):
        raise ValueError("it starts neither with https:// nor with http://")
    if "@" in parts.netloc:
        raise ValueError("it contains a user or password")
    if "?" in text or "#" in text:
        raise ValueError("it contains a query or fragment")
    host_of(parts.netloc)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("http to another host would send the token unencrypted")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """Check the address of a proxy, http://[USER:PASSWORD@]HOST:PORT. Returns it without a slash at its end."""
    if not _URL.fullmatch(text) or "\\" in text:
        raise ValueError("it contains a blank or another character that must be written as %XX")
    parts = _split(text)
    if parts.scheme != "http":
        raise ValueError("it does not start with http://; the proxy gets CONNECT, and TLS to Radar runs inside")
    user, _, server = parts.netloc.rpartition("@")
    if "@" in user:
        raise ValueError("it contains a second @; write @ in a password as %40")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("it contains a path, query or fragment; write /, ? and # in a password as %XX")
    host_of(server)
    return text.rstrip("/")


def host_of(netloc: str) -> str:
    """Return the host of `host:port`. Raises ValueError if one of the two is invalid."""
    parts = _split(f"//{netloc}")
    try:
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise ValueError("its port is not 1 to 65535") from None
    if port == 0 or netloc.endswith(":"):
        raise ValueError("its port is not 1 to 65535")
    return bind_host(host)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("its brackets do not contain an IPv6 address") from None


def bind_host(text: str) -> str:
    """Check a host: an IPv4 address, an IPv6 address without brackets, or a name. Returns it in lower case."""
    try:
        return str(ip_address(text))
    except ValueError:
        if not _HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise ValueError("it is not a host name or IP address") from None
        return text.lower()


def database_url(text: str) -> str:
    """Check the address of the store. Returns it without the name of a driver (`postgresql+psycopg://`)."""
    found = _DATABASE.fullmatch(text)
    if not found:
        raise ValueError("it is not the address of a database")
    if found["backend"] not in _BACKENDS:
        raise ValueError(f"this kind of database is not supported{did_you_mean(found['backend'], _BACKENDS)}")
    check = _check_sqlite if found["backend"] == "sqlite" else _check_postgresql
    check(found["rest"])
    return f"{found['backend']}://{found['rest']}"


def _check_sqlite(rest: str) -> None:
    path = rest.removeprefix("/")
    if path == rest and rest:
        raise ValueError("it contains a host; a file needs three slashes")
    if "?" in path or not path.isprintable():
        raise ValueError("it contains a query or an unprintable character")
    if path in ("", ":memory:") or path.startswith("file:"):
        raise ValueError("it is not the path of a file")
    _sqlite_path(path)


def sqlite_path(url: str) -> Path:
    """Return the path in the address of a SQLite store: `%XX` decoded, `~` replaced by the home directory.

    Raises ValueError if the address contains no valid path.
    """
    return _sqlite_path(url.partition(":///")[2]).absolute()


def _sqlite_path(escaped: str) -> Path:
    if _ESCAPE.search(escaped):
        raise ValueError("it contains a % without two hexadecimal digits; write %25 for the character %")
    try:
        text = unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        raise ValueError("it contains a %XX that is not UTF-8; write %25 for the character %") from None
    if not text.isprintable() or text in ("", ":memory:"):
        raise ValueError("it is not the path of a file, or contains an unprintable character")
    if text.startswith("/~/"):
        raise ValueError("it has a ~ after four slashes; write three slashes for a path in the home directory")
    return _expand_home(text)


def _expand_home(text: str) -> Path:
    if not text.startswith("~"):  # because Path("./~") is "~"
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("its ~ is not a home directory; write ./~ for a file whose name starts with ~") from None


def sqlite_url(path: Path) -> str:
    """Return the address of the SQLite store at *path*."""
    return f"sqlite:///{quote(str(path.absolute()))}"


def _check_postgresql(rest: str) -> None:
    if not _URL.fullmatch(rest or "/"):
        raise ValueError("it contains a blank or another character that must be written as %XX")
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, server = netloc.rpartition("@")
    if "@" in user:
        raise ValueError("it contains a second @; write @ in a password as %40")
    if "@" in rest.partition("?")[0][len(netloc) :] or "#" in rest:
        raise ValueError("it contains a / or # in the password; write %2F or %23")
    if server:
        host_of(server)
    _check_options(rest.partition("?")[2])


def _check_options(query: str) -> None:
    """Raises ValueError if libpq does not know an option."""
    if not query:
        return
    import psycopg

    known = [option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()]
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            option = f" {name!r}{did_you_mean(name, known)}" if _OPTION.fullmatch(name) else ""
            raise ValueError(f"it contains an unknown option{option}")


def without_password(url: str) -> str:
    """Return a checked address with `***` for the password, also for one in the query."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return url
    user, at, server = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    query = [(key, MASK if "password" in key.lower() else value) for key, value in parse_qsl(parts.query)]
    netloc = f"{name}{colon}{MASK if colon else ''}{at}{server}"
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{urlencode(query, safe='*/')}" if query else "")


def passwords(url: str) -> tuple[str, ...]:
    """Return the passwords in an address, valid or not, as written and decoded."""
    address, _, query = url.partition("://")[2].partition("?")
    user = address.rpartition("@")[0]
    found = [user.partition(":")[2], *(value for key, value in parse_qsl(query) if "password" in key.lower())]
    return tuple(dict.fromkeys(text for part in found if part for text in (part, unquote(part))))
