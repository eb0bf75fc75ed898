"""What most commands do first: load the settings, check them for the command, open the store and the client."""

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

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Store


NO_CREDENTIALS = (
    "there are no credentials for Radar: set CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE, "
    "or api_token_file under [radar]; `collector demo` needs none"
)


def load_settings(config: str | None, *, required: bool = True) -> Settings:
    """Load the settings and configure the log. If not *required*, a missing file means the defaults."""
    settings = load(config, required=required)
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    return settings


def require_credentials(settings: Settings) -> Settings:
    """Return *settings*. Raises UsageError if they have no credentials for Radar."""
    if settings.radar.credentials is None:
        raise UsageError(NO_CREDENTIALS)
    return settings


def require_profiles(settings: Settings) -> Settings:
    """Return *settings*. Raises UsageError if they have no credentials for Radar, or no profile."""
    if not require_credentials(settings).profiles:
        raise UsageError("the configuration has no [[profiles]]; `collector config init` writes an example")
    return settings


def skip_paused(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """Return the *profiles* that are not paused. Raises UsageError if one of *names* is paused, or all are."""
    try:
        return awake(profiles, names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def select_profiles(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    """Return the profiles of these names, or all without names. Raises UsageError for an unknown name."""
    known = {profile.name: profile for profile in profiles}
    for name in names:
        if name not in known:
            configured = ", ".join(known) or "none"
            raise UsageError(f"there is no profile {name!r}{did_you_mean(name, known)}; configured: {configured}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(profiles)


def is_by_hand() -> bool:
    """Return whether a person runs the command: stdin or stderr is a terminal, which cron does not provide."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


@asynccontextmanager
async def open_collector(settings: Settings, owner: str) -> AsyncIterator[tuple[Store, BatchRunner]]:
    """Open the store, as its owner or as a replica, and the client of Radar.

    After SIGINT, SIGTERM or SIGHUP no new request is sent; requests in flight end normally.
    """
    import asyncio
    import signal

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.fetcher import Fetcher
    from collector.collect.lease import enlisted
    from collector.radar.client import RadarClient
    from collector.store import Store

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = settings.database
    async with (
        Store.open(database.url.reveal(), owner=owner, upgrade=database.upgrade, timescale=database.timescale) as store,
        enlisted(store, settings.profiles, database.lease, stop, owner),
        RadarClient(settings.radar, store.clock) as radar,
    ):
        await store.interrupt(store.clock())
        await store.activate_labels(settings.profiles, store.clock())
        if is_by_hand():
            await store.try_credentials_at_once(radar.fingerprint)  # because the operator may just have corrected them
        limit = settings.radar.requests_per_5min
        yield (
            store,
            BatchRunner(
                Fetcher(radar, store, limit=limit, stop=stop, clock=store.clock),
                settings.radar.concurrency,
                by_hand=is_by_hand(),
            ),
        )
