"""The settings for the rest of the program: frozen, checked, with all defaults. Secrets are printed as `***`."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from collector.settings.values import MASK, passwords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from collector.interval import AggInterval
    from collector.profile import Profile


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


class RadarSettings(NamedTuple):
    """How to reach Radar. *base_url* has no slash at its end; *credentials* are None if not configured.

    The authorities in *ca_file* replace those of the system. *proxy* is `http://[user:password@]host[:port]`.
    """

    base_url: str
    requests_per_5min: int
    concurrency: int
    timeout: timedelta
    credentials: Credentials | None
    ca_file: str | None = None
    proxy: Secret | None = None

    @property
    def simulator(self) -> str | None:
        """Scheme, host and port of *base_url* if it is http (a simulator on this machine), None for Radar."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.scheme == "http" else None


class DatabaseSettings(NamedTuple):
    """The store. *url* starts with `sqlite:///` or `postgresql://` and may contain a password.

    A replica that does not renew within *lease* loses its work items to the others. With *timescale* the points are a
    hypertable.
    """

    url: Secret
    upgrade: bool
    lease: timedelta
    timescale: bool = False


class CollectionSettings(NamedTuple):
    """Defaults of the profiles."""

    publication_delay: timedelta
    lookback: timedelta
    settle: timedelta
    heal: bool


@dataclass(frozen=True, slots=True)
class CatalogueSettings:
    """Whether Radar's lists of authorities and logs are collected."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Age at which rows are deleted; None means never. *points* by interval: a missing interval means never."""

    points: Mapping[AggInterval, timedelta] = field(default_factory=dict)
    fetches: timedelta | None = None
    fires: timedelta | None = None
    revisions: timedelta | None = None


class ServerSettings(NamedTuple):
    """The daemon's HTTP server. *port* 0 means any free port.

    With *upstream_fallback* the server fetches missing history from Radar. *hosts* are further names of the server,
    besides *host* and the names of this machine. All paths begin with *base_path*. With *metrics_values* the metrics
    have the newest value of each series.
    """

    enabled: bool
    host: str
    port: int
    token: Secret | None
    anonymous_read: bool
    upstream_fallback: bool = False
    hosts: Sequence[str] = ()
    base_path: str = ""
    metrics_values: bool = False


class LogSettings(NamedTuple):
    """Lowest level that is logged (`debug` `info` `warning` `error`), and the format (`text` `json`)."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings."""

    radar: RadarSettings
    database: DatabaseSettings
    collection: CollectionSettings
    retention: RetentionSettings
    server: ServerSettings
    log: LogSettings
    profiles: tuple[Profile, ...]
    catalogue: CatalogueSettings = CatalogueSettings()

    @property
    def active(self) -> tuple[Profile, ...]:
        """The profiles that are not paused."""
        return tuple(profile for profile in self.profiles if profile.enabled)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret text, the longest first, for the filter that masks them in the log."""
        credentials = self.radar.credentials
        tokens = (credentials and credentials.token, credentials and credentials.api_key, self.server.token)
        addresses = (self.database.url, self.radar.proxy)
        texts = {secret.reveal() for secret in tokens if secret}
        texts |= {text for address in addresses if address for text in passwords(address.reveal())}
        return tuple(sorted(texts, key=len, reverse=True))
