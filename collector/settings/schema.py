"""The schema of the configuration: every key with its type, default and allowed values (`description`)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from collector.datasets import DEFAULT
from collector.errors import did_you_mean
from collector.interval import AggInterval
from collector.model import Normalization
from collector.settings import values
from collector.settings.settings import Secret
from collector.settings.values import check_authorities, parse_bounded_duration, parse_duration, parse_since

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_QUOTES = "\"'`"
_PLACEHOLDER = re.compile(
    r"<.*>|\{.*\}|\$.+|%\w+%|x{4,}|\*{3,}|\.{3,}|change[-_]?me|(?:your|my)[-_][\w-]*(?:token|key|secret)[\w-]*",
    re.IGNORECASE,
)
"""Placeholders of documentation, templates and shells, which are not a secret."""
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*=.+")
_MIN_TOKEN_LENGTH = 16
_DIMENSIONS = tuple(name for name, parameter in DEFAULT.dimensions.items() if not parameter.is_snapshot)
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("text", "json")


def _one_of(words: tuple[str, ...], value: object) -> object:
    if not isinstance(value, str) or value not in words:
        raise ValueError(did_you_mean(value, words).strip() if isinstance(value, str) else "")
    return value


def _interval(value: object) -> AggInterval:
    return AggInterval(str(_one_of(tuple(AggInterval), value)))


def _dimension(value: object) -> object:
    """Accept any case, and the name of the filter."""
    text = value.upper().replace("-", "_") if isinstance(value, str) else value
    return _one_of(tuple(DEFAULT.dimensions), text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("")
    return text


def _email(text: str) -> str:
    if not _TOKEN.fullmatch(text) or "@" not in text:
        raise ValueError("not an e-mail address")
    return text


def _token(value: object) -> Secret:
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str) or not text.strip():
        raise ValueError("it is blank")
    if not _TOKEN.fullmatch(text):
        raise ValueError("it contains a blank, a line break or a character that is not ASCII")
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        raise ValueError("it is in quotes; leave the quotes out")
    if _PLACEHOLDER.fullmatch(text):
        raise ValueError("it is a placeholder such as <your_token>; write the value itself")
    if _ASSIGNMENT.fullmatch(text):
        raise ValueError("it is an assignment, NAME=VALUE; leave the name out")
    return Secret(text)


def _server_token(value: object) -> Secret:
    token = _token(value)
    if len(token.reveal()) < _MIN_TOKEN_LENGTH:
        raise ValueError(f"it is shorter than {_MIN_TOKEN_LENGTH} characters")
    return token


def _hosts(value: object) -> object:
    """Check a list of names, or, from the environment, a text of names with commas between them."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("not a list of names")
    return [values.bind_host(name) for name in names]


def _address(value: object, check: Callable[[str], str]) -> Secret:
    """Check an address that may contain a password."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ValueError("not text")  # noqa: TRY004 - pydantic passes ValueError on, not TypeError
    return Secret(check(text))


def _whole_number_field(least: int, most: int) -> Any:
    return Field(ge=least, le=most, description=f"a whole number from {least} to {most}")


def _duration_field(least: str, most: str) -> Any:
    return BeforeValidator(partial(parse_bounded_duration, least=parse_duration(least), most=parse_duration(most)))


def _authorities(text: str) -> str:
    check_authorities(Path(text))
    return text


_Token = Annotated[Secret, BeforeValidator(_token), Field(description="one line of printable ASCII without blanks")]
_Delay = Annotated[timedelta, _duration_field("0s", "7d"), Field(description='a duration from "0s" to "7d"')]
_Lease = Annotated[timedelta, _duration_field("2s", "10m"), Field(description='a duration from "2s" to "10m"')]
_Span = Annotated[timedelta, _duration_field("0s", "364d"), Field(description='a duration from "0s" to "364d"')]
_AnyTable = Annotated[dict[str, Any], Field(description="a table")]
_RetentionAge = (
    Annotated[timedelta, _duration_field("1d", "5200w"), Field(description='a duration from "1d" to "5200w"')] | None
)
_Proxy = Annotated[
    Secret,
    BeforeValidator(partial(_address, check=values.proxy_url)),
    Field(description="http://[USER:PASSWORD@]HOST:PORT"),
]
_Switch = Annotated[bool, Field(description="true or false")]


class Section(BaseModel):
    """One section; unknown keys are rejected. Text from the environment is converted before this check."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class RadarSection(Section):
    """`[radar]`."""

    base_url: Annotated[
        str,
        AfterValidator(values.base_url),
        Field(description="https://…, or http:// to 127.0.0.0/8, ::1 or localhost"),
    ] = "https://api.cloudflare.com/client/v4"
    requests_per_5min: Annotated[int, _whole_number_field(1, 1200)] = 600
    concurrency: Annotated[int, _whole_number_field(1, 64)] = 8
    timeout: Annotated[timedelta, _duration_field("1s", "10m"), Field(description='a duration from "1s" to "10m"')] = (
        timedelta(seconds=30)
    )
    api_token: _Token | None = None
    email: Annotated[str, AfterValidator(_email), Field(description="an e-mail address")] | None = None
    api_key: _Token | None = None
    ca_file: (
        Annotated[str, AfterValidator(_authorities), Field(description="a PEM file of certificate authorities")] | None
    ) = None
    proxy: _Proxy | None = None


class DatabaseSection(Section):
    """`[database]`."""

    url: Annotated[
        Secret,
        BeforeValidator(partial(_address, check=values.database_url)),
        Field(description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"),
    ] = Secret("sqlite:///collector.db")
    upgrade: _Switch = True
    lease: _Lease = timedelta(seconds=30)
    timescale: _Switch = False


class CollectionSection(Section):
    """`[collection]`."""

    publication_delay: _Delay = timedelta(minutes=2)
    lookback: _Span = timedelta(days=1)
    settle: _Span = timedelta(days=14)
    heal: _Switch = True


class CatalogueSection(Section):
    """`[catalogue]`."""

    enabled: _Switch = True


class _LedgerRetentionSection(Section):
    fetches: _RetentionAge = None
    fires: _RetentionAge = None
    revisions: _RetentionAge = None


def points_key(interval: AggInterval) -> str:
    """Return the key of `[retention]` for points of *interval*."""
    return f"points_{interval.value}"


if TYPE_CHECKING:
    RetentionSection = _LedgerRetentionSection
else:
    RetentionSection = create_model(
        "RetentionSection",
        __base__=Section,
        __doc__="`[retention]`.",
        **{points_key(interval): (_RetentionAge, None) for interval in AggInterval},
        **dict.fromkeys(_LedgerRetentionSection.model_fields, (_RetentionAge, None)),
    )


class ServerSection(Section):
    """`[server]`."""

    enabled: _Switch = True
    host: Annotated[
        str, AfterValidator(values.bind_host), Field(description="an IP address without brackets, or a host name")
    ] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="a whole number from 1 to 65535, or 0 for any free port")
    ] = 8080
    token: (
        Annotated[
            Secret,
            BeforeValidator(_server_token),
            Field(description=f"{_MIN_TOKEN_LENGTH} or more characters of printable ASCII; 32 random bytes are best"),
        ]
        | None
    ) = None
    hosts: Annotated[
        list[str],
        BeforeValidator(_hosts),
        Field(description="a list of host names and IP addresses, without ports"),
    ] = []
    base_path: Annotated[
        str,
        AfterValidator(values.base_path),
        Field(description='"" or a path such as "/radar": it starts with a slash and does not end with one'),
    ] = ""
    anonymous_read: _Switch = False
    upstream_fallback: _Switch = False
    metrics_values: _Switch = False


class LogSection(Section):
    """`[log]`."""

    level: Annotated[str, BeforeValidator(partial(_one_of, _LEVELS)), Field(description=", ".join(_LEVELS))] = "info"
    format: Annotated[str, BeforeValidator(partial(_one_of, _FORMATS)), Field(description=", ".join(_FORMATS))] = "text"


class ProfileSection(Section):
    """One `[[profiles]]` table; None means not set. The module `profiles` requires `name` and `agg_interval`."""

    name: (
        Annotated[
            str,
            AfterValidator(_name),
            Field(description="1 to 64 of A-Z, a-z, 0-9, _, - and ., not starting with - or ."),
        ]
        | None
    ) = None
    agg_interval: (
        Annotated[AggInterval, BeforeValidator(_interval), Field(description=", ".join(AggInterval))] | None
    ) = None
    since: (
        Annotated[
            datetime,
            BeforeValidator(parse_since),
            Field(description='a date like "2026-01-31", or a date and time like "2026-01-31T12:00:00Z"'),
        ]
        | None
    ) = None
    publication_delay: _Delay | None = None
    lookback: _Span | None = None
    settle: _Span | None = None
    heal: _Switch | None = None
    enabled: _Switch | None = None
    dimension: Annotated[str, BeforeValidator(_dimension), Field(description=", ".join(_DIMENSIONS))] | None = None
    groups: Annotated[int, _whole_number_field(2, 1000)] | None = None
    normalization: (
        Annotated[
            str, BeforeValidator(partial(_one_of, tuple(Normalization))), Field(description=", ".join(Normalization))
        ]
        | None
    ) = None
    filters: _AnyTable | None = None
    each: _AnyTable | None = None


class RawSettings(BaseSettings):
    """The sections, merged from all sources. Profiles come only from TOML; the module `profiles` reads them."""

    model_config = SettingsConfigDict(
        env_prefix="COLLECTOR_", env_nested_delimiter="__", extra="forbid", arbitrary_types_allowed=True
    )

    radar: RadarSection = RadarSection()
    database: DatabaseSection = DatabaseSection()
    collection: CollectionSection = CollectionSection()
    catalogue: CatalogueSection = CatalogueSection()
    retention: RetentionSection = RetentionSection()
    server: ServerSection = ServerSection()
    log: LogSection = LogSection()


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in RawSettings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""The sections by name."""

FROM_FILE = frozenset(
    {
        ("radar", "api_token"),
        ("radar", "email"),
        ("radar", "api_key"),
        ("radar", "proxy"),
        ("server", "token"),
        ("database", "url"),
    }
)
"""Keys that TOML may set by `KEY_file`."""

NEVER_INLINE = frozenset({("radar", "api_token"), ("radar", "api_key"), ("server", "token")})
"""Secrets. TOML may set them only by `KEY_file`."""

ADDRESSES = frozenset({("database", "url"), ("radar", "proxy")})
"""Addresses that may contain a password."""

CONFIDENTIAL = NEVER_INLINE | ADDRESSES
"""Keys whose value is never printed."""

PATHS = frozenset({("radar", "ca_file")})
"""Keys whose value is a path; in TOML a relative path starts at the folder of the configuration file."""


def toml_keys(model: type[Section]) -> tuple[str, ...]:
    """Return the keys that are allowed in a section of TOML."""
    section = next((name for name, table in SECTIONS.items() if table is model), "")
    plain = [key for key in model.model_fields if (section, key) not in NEVER_INLINE]
    return (*plain, *(f"{key}_file" for key in model.model_fields if (section, key) in FROM_FILE))


def allowed(model: type[Section], key: str) -> str:
    """Return the allowed values of *key* of *model* in words."""
    field = model.model_fields[key]
    optional = [meta for arg in get_args(field.annotation) for meta in getattr(arg, "__metadata__", ())]
    return str(next(text for meta in (field, *optional) if (text := getattr(meta, "description", None))))
