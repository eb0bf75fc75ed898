"""From `--config` to settings a command can work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector import logs
from collector.errors import UsageError
from collector.profile import awake, nearest
from collector.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.profile import Profile
    from collector.settings import Settings


NO_CREDENTIALS = (
    "there are no credentials for Radar: set CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE, "
    "or api_token_file under [radar]; `collector demo` needs none"
)


def start(config: str | None, *, required: bool = True) -> Settings:
    """Load the settings and send the log where they say; not *required*, a missing file means the defaults."""
    settings = load(config, required=required)
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    return settings


def with_credentials(settings: Settings) -> Settings:
    """Return *settings*; UsageError if they have no credentials for Radar."""
    if settings.radar.credentials is None:
        raise UsageError(NO_CREDENTIALS)
    return settings


def asking(settings: Settings) -> Settings:
    """Return *settings*; UsageError if they have no credentials for Radar, or no profile to collect."""
    if not with_credentials(settings).profiles:
        raise UsageError(
            "the configuration has no [[profiles]], so there is nothing to collect; see `collector config init`"
        )
    return settings


def active(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """Those of *profiles* that are not paused; UsageError for a paused one among *names*, or if all are."""
    try:
        return awake(profiles, names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def chosen(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """The profiles of these names, all for none; UsageError for a name that is not configured."""
    known = {profile.name: profile for profile in profiles}
    for name in names:
        if name not in known:
            raise UsageError(f"no profile {name!r}{nearest(name, known)}; configured: {', '.join(known) or 'none'}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(profiles)
