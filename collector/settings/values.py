"""Single values of the configuration: durations, times, files and addresses.

Every function raises ValueError with the reason. The reason contains neither the path of a file nor an address, because
an address may contain a password.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import SplitResult, parse_qsl, quote, unquote, unquote_to_bytes, urlencode, urlsplit

from collector.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> timedelta:
    """Return the duration. Raises ValueError if *text* is not a whole number and a unit."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("not a duration")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def format_duration(duration: timedelta) -> str:
    """Return a duration of whole seconds in the largest unit up to days that divides it: `14d`, `90s`, `0s`."""
    seconds = int(duration.total_seconds())
    unit = next((unit for unit in "dhm" if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_bounded_duration(value: object, least: timedelta, most: timedelta) -> timedelta:
    """Return a duration from text or timedelta. Raises ValueError if it is not between *least* and *most*."""
    if not isinstance(value, str | timedelta):
        raise ValueError("not a duration in quotes")  # noqa: TRY004 - pydantic passes ValueError on, not TypeError
    duration = value if isinstance(value, timedelta) else parse_duration(value)
    if duration < least:
        raise ValueError("too short")
    if duration > most:
        raise ValueError("too long")
    return duration


_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = re.compile(_DAY)
_DATE_TIME = re.compile(_DAY + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?")


def parse_since(value: object) -> datetime:
    """Return a time in UTC from a date (its midnight) or a date and time with offset, as text or TOML type.

    Raises ValueError for anything else.
    """
    try:
        return _to_utc(_from_text(value) if isinstance(value, str) else value)
    except OverflowError:
        raise ValueError("outside the range of dates") from None


def _from_text(text: str) -> date:
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError("neither a date nor a date and time")
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("this day or time does not exist") from None


def _to_utc(value: object) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without an offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("not a date")  # pydantic passes ValueError on, not TypeError


MOUNTED_SECRETS = (Path("/run/secrets"), Path("/var/run/secrets"))
"""Folders where container engines mount secrets, with mode 0444; such a container has no other users."""

_MAX_SECRET_BYTES = 16 * 1024
_MAX_CONFIGURATION_BYTES = 1024 * 1024
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "it may not be read by this user",
    errno.EISDIR: "it is a directory",
}


class NoSuchFile(ValueError):
    """The file does not exist, as opposed to a file that cannot be read."""


def read_value(path: Path, *, private: bool) -> str:
    """Return the single line in the file, without a byte-order mark and without the final line break.

    Raises ValueError if the file is empty or has several lines, or if every user can read a *private* file.
    """
    with _translate_os_errors(), open(path, "rb", opener=_open_nonblocking) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        if private and mode & stat.S_IROTH and not _is_mounted_secret(path):
            raise ValueError(f"every user can read it ({_how_to_protect(file)})")
        text = _text(file, _MAX_SECRET_BYTES).removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("it is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("it contains more than one line")
    return text


def check_authorities(path: Path) -> None:
    """Raises ValueError if the file at *path* is not PEM with at least one certificate."""
    import ssl  # imported here because only the key ca_file needs it

    with _translate_os_errors():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            raise ValueError("it contains no certificate, or a damaged one") from None


def read_configuration(path: Path) -> str:
    r"""Return the text of a TOML file with `\n` as line breaks. Raises NoSuchFile if it does not exist."""
    with _translate_os_errors(), path.open("rb") as file:
        return _text(file, _MAX_CONFIGURATION_BYTES).removeprefix("\ufeff").replace("\r\n", "\n")


def _is_mounted_secret(path: Path) -> bool:
    """Return whether *path*, with all links resolved, is in a folder of mounted secrets."""
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in MOUNTED_SECRETS)


def _how_to_protect(file: BinaryIO) -> str:
    if not os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY:
        return "run chmod o-rwx on it"
    return (
        "its mount is read-only, so mount it with mode 0400 or 0440: defaultMode of a volume in Kubernetes, "
        f"mode of a secret in Docker and Podman; or mount it in {MOUNTED_SECRETS[0]}"
    )


def _open_nonblocking(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # because opening a pipe without a writer never returns


@contextmanager
def _translate_os_errors() -> Iterator[None]:
    """Translate OSError to ValueError or NoSuchFile."""
    try:
        yield
    except FileNotFoundError as error:
        raise NoSuchFile(_REASONS[errno.ENOENT]) from error
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, os.strerror(error.errno or 0).lower())
        raise ValueError(reason) from error


def _text(file: BinaryIO, most: int) -> str:
    raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it is larger than {most // 1024} KiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"it is not UTF-8 text (line {line})") from None


MASK = "***"
"""What is printed instead of a secret."""

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
    match = _DATABASE.fullmatch(text)
    if not match:
        raise ValueError("it is not the address of a database")
    if match["backend"] not in _BACKENDS:
        raise ValueError(f"this kind of database is not supported{did_you_mean(match['backend'], _BACKENDS)}")
    check = _check_sqlite if match["backend"] == "sqlite" else _check_postgresql
    check(match["rest"])
    return f"{match['backend']}://{match['rest']}"


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
    parts = [user.partition(":")[2], *(value for key, value in parse_qsl(query) if "password" in key.lower())]
    return tuple(dict.fromkeys(text for encoded in parts if encoded for text in (encoded, unquote(encoded))))


def base_path(text: str) -> str:
    """Check the path under which the server is offered; blank means none. Raises ValueError."""
    if text and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError("not a path of letters, digits and . _ ~ -, with a slash before each part")
    if any(part in (".", "..") for part in text.split("/")):
        raise ValueError("it has a part . or ..")
    return text
