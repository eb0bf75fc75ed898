"""The settings as the rest of the program sees them: frozen, checked, every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collector.settings.urls import passwords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from collector.model import AggInterval
    from collector.profile import Profile
    from collector.settings.secret import Credentials, Secret


@dataclass(frozen=True, slots=True)
class RadarSettings:
    """Where and how to ask. *base_url* has no slash at its end; *credentials* are None where none are configured.

    Authorities of *ca_file* are trusted instead of the system's. *proxy* is `http://[user:password@]host[:port]`.
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
        """Scheme, host and port of *base_url* if it is http, so on this machine; None for Radar itself."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.scheme == "http" else None


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the history is kept. *url* starts with `sqlite:///` or `postgresql://` and may hold a password.

    A replica that was silent for *lease* has lost its work to the others. With *timescale* points are a hypertable.
    """

    url: Secret
    upgrade: bool
    lease: timedelta
    timescale: bool = False


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What a profile does where it says nothing else."""

    publication_delay: timedelta
    lookback: timedelta
    settle: timedelta
    heal: bool


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long what is kept; None keeps it for ever. *points* by interval: those of an absent one are kept for ever."""

    points: Mapping[AggInterval, timedelta] = field(default_factory=dict)
    fetches: timedelta | None = None
    fires: timedelta | None = None
    revisions: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The daemon's HTTP server. *port* 0 takes any free one; with *upstream_fallback* it asks Radar what it lacks.

    *hosts* are names it is reached by beside *host* and this machine's own.
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
    """What is logged (`debug` `info` `warning` `error`) and how (`text` `json`)."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was configured."""

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
        """Every secret text, the longest first, for the filter that keeps them out of the log."""
        credentials = self.radar.credentials
        kept = (credentials and credentials.token, credentials and credentials.api_key, self.server.token)
        addresses = (self.database.url, self.radar.proxy)
        texts = {secret.reveal() for secret in kept if secret}
        texts |= {text for address in addresses if address for text in passwords(address.reveal())}
        return tuple(sorted(texts, key=len, reverse=True))
