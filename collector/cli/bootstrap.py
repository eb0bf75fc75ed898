"""From `--config` to settings a command can work with."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from collector import logs
from collector.errors import UsageError, did_you_mean
from collector.profile import awake
from collector.settings import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from collector.collect.batch_runner import BatchRunner
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Store


NO_CREDENTIALS = (
    "there are no credentials for Radar: set CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE, "
    "or api_token_file under [radar]; `collector demo` needs none"
)


def load_settings(config: str | None, *, required: bool = True) -> Settings:
    """Load the settings and send the log where they say; not *required*, a missing file means the defaults."""
    settings = load(config, required=required)
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    return settings


def require_credentials(settings: Settings) -> Settings:
    """Return *settings*; UsageError if they have no credentials for Radar."""
    if settings.radar.credentials is None:
        raise UsageError(NO_CREDENTIALS)
    return settings


def require_profiles(settings: Settings) -> Settings:
    """Return *settings*; UsageError if they have no credentials for Radar, or no profile to collect."""
    if not require_credentials(settings).profiles:
        raise UsageError(
            "the configuration has no [[profiles]], so there is nothing to collect; see `collector config init`"
        )
    return settings


def skip_paused(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """Those of *profiles* that are not paused; UsageError for a paused one among *names*, or if all are."""
    try:
        return awake(profiles, names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def select_profiles(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """The profiles of these names, all for none; UsageError for a name that is not configured."""
    known = {profile.name: profile for profile in profiles}
    for name in names:
        if name not in known:
            configured = ", ".join(known) or "none"
            raise UsageError(f"there is no profile {name!r}{did_you_mean(name, known)}; configured: {configured}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(profiles)


def is_by_hand() -> bool:
    """Tell whether a person waits for the answers: cron gives a command no terminal."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


@asynccontextmanager
async def open_collector(settings: Settings, owner: str) -> AsyncIterator[tuple[Store, BatchRunner]]:
    """Own the store, or be one of its replicas, and be ready to ask.

    SIGINT, SIGTERM and SIGHUP end the asking after the requests under way.
    """
    import asyncio
    import signal

    from collector.collect.batch_runner import BatchRunner
    from collector.collect.fetcher import Fetcher
    from collector.collect.lease import enlisted
    from collector.radar.client import RadarClient
    from collector.store import Store

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = settings.database
    async with (
        Store.open(database.url.reveal(), owner=owner, upgrade=database.upgrade, timescale=database.timescale) as store,
        enlisted(store, settings.profiles, database.lease, stop, owner),
        RadarClient(settings.radar, store.clock) as radar,
    ):
        await store.interrupt(store.clock())
        await store.declare(settings.profiles, store.clock())
        if is_by_hand():
            await store.try_credentials_at_once(radar.fingerprint)  # the operator may just have mended them
        limit = settings.radar.requests_per_5min
        yield (
            store,
            BatchRunner(
                Fetcher(radar, store, limit=limit, stop=stop, clock=store.clock),
                settings.radar.concurrency,
                by_hand=is_by_hand(),
            ),
        )
