"""The settings for the rest of the program: frozen, checked, with all defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collector.settings.secret import passwords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from collector.interval import AggInterval
    from collector.profile import Profile
    from collector.settings.secret import Credentials, Secret


@dataclass(frozen=True, slots=True)
class RadarSettings:
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


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The store. *url* starts with `sqlite:///` or `postgresql://` and may contain a password.

    A replica that does not renew within *lease* loses its work items to the others. With *timescale* the points are a
    hypertable.
    """

    url: Secret
    upgrade: bool
    lease: timedelta
    timescale: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Defaults of the profiles."""

    publication_delay: timedelta
    lookback: timedelta
    settle: timedelta
    heal: bool


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Age at which rows are deleted; None means never. *points* by interval: a missing interval means never."""

    points: Mapping[AggInterval, timedelta] = field(default_factory=dict)
    fetches: timedelta | None = None
    fires: timedelta | None = None
    revisions: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The daemon's HTTP server. *port* 0 means any free port.

    With *upstream_fallback* the server fetches missing history from Radar. *hosts* are further names of the server,
    besides *host* and the names of this machine.
    """

    enabled: bool
    host: str
    port: int
    token: Secret | None
    anonymous_read: bool
    upstream_fallback: bool = False
    hosts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
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

    @property
    def active(self) -> tuple[Profile, ...]:
        """The profiles that are not paused."""
        return tuple(profile for profile in self.profiles if profile.enabled)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret text, the longest first, for the filter that masks them in the log."""
        credentials = self.radar.credentials
        kept = (credentials and credentials.token, credentials and credentials.api_key, self.server.token)
        addresses = (self.database.url, self.radar.proxy)
        texts = {secret.reveal() for secret in kept if secret}
        texts |= {text for address in addresses if address for text in passwords(address.reveal())}
        return tuple(sorted(texts, key=len, reverse=True))
