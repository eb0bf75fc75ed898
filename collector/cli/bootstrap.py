"""What most commands need: the settings, the shared options, the open store, the client of Radar or of the daemon.

A command that writes does its work itself if it can own the store. If a daemon owns the SQLite store, the command
sends a request to the daemon instead. A Postgres store has no owner, so every command does its own work.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from collector import logs
from collector.cli.main import CONFIG_HELP
from collector.errors import CollectorError, UsageError, did_you_mean
from collector.profile import awake
from collector.settings import load
from collector.timestamps import parse_time, rfc3339, utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import BackfillRequest, JobStatus, Store

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

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
    from collector.collect.lease import hold_lease
    from collector.radar.client import RadarClient
    from collector.store import Store

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = settings.database
    async with (
        Store.open(database.url.reveal(), owner=owner, upgrade=database.upgrade, timescale=database.timescale) as store,
        hold_lease(store, settings.profiles, database.lease, stop, owner),
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


T = TypeVar("T")

_JOBS = "/api/v1/backfills"
_POLL_SECONDS = 0.5
_TIMEOUT_SECONDS = 10.0
_LONG_TIMEOUT_SECONDS = 130.0


def run_here_or_in_daemon(settings: Settings, here: Callable[[], T], handed: Callable[[DaemonClient], T]) -> T:
    """Return the result of *here*, or of *handed* if a daemon owns the store.

    Raises the error of *here* if the owner has no HTTP server.
    """
    from collector.store import StoreLocked

    try:
        return here()
    except StoreLocked as owned:
        if owned.url is None:
            error = StoreLocked(f"{owned}, and the owner has no HTTP server that could do the work")
            error.advice = "wait until that process has ended, or end it"
            raise error from None
        token = settings.server.token
        return handed(DaemonClient(owned.url, token.reveal() if token else None))


class DaemonClient:
    """The daemon at *url*; *token* is the token of its HTTP server, if it has one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._address = urlsplit(url)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def submit(self, request: BackfillRequest) -> int:
        """Create a backfill job. Returns its id."""
        content = {
            "profiles": request.profiles,
            "start": rfc3339(request.start),
            "end": rfc3339(request.end),
            "force": request.force,
        }
        return int(self._call("POST", _JOBS, content)["id"])

    def follow(self, job: int) -> Iterator[tuple[JobStatus, int | None]]:
        """Yield the status of a job twice a second until it ends, and the job that runs before it, if any."""
        from collector.store import JobProgress, JobStatus

        while True:
            document = self._call("GET", f"{_JOBS}/{job}")
            progress = JobProgress(**{name: document[name] for name in JobProgress.__slots__ if name in document})
            status = JobStatus(document["state"], progress, document["message"])
            yield status, self._ahead_of(job) if status.state == "queued" else None
            if status.ended:
                return
            time.sleep(_POLL_SECONDS)

    def _ahead_of(self, job: int) -> int | None:
        """Return the job that runs before a queued one, because jobs run in the order of their ids."""
        ids = (row["id"] for row in self._call("GET", _JOBS)["backfills"] if row["state"] in ("queued", "running"))
        return max((id_ for id_ in ids if id_ < job), default=None)

    def cancel(self, job: int) -> None:
        """Cancel a job."""
        self._call("POST", f"{_JOBS}/{job}/cancel", {})

    def prune(self) -> dict[str, Any]:
        """Prune the store. Returns the counts, or `running` if it takes long."""
        return self._call("POST", "/api/v1/prune", {}, timeout=_LONG_TIMEOUT_SECONDS)

    def compact(self) -> dict[str, Any]:
        """Give the room of deleted rows back. Returns the bytes before and after, or `running` if it takes long."""
        return self._call("POST", "/api/v1/compact", {}, timeout=_LONG_TIMEOUT_SECONDS)

    def forget(self, series_id: int) -> dict[str, Any]:
        """Delete a series. Returns the deleted rows by table."""
        content = {"dry_run": False}
        return self._call("POST", f"/api/v1/series/{series_id}/forget", content, timeout=_LONG_TIMEOUT_SECONDS)

    def refresh_catalogue(self, list_name: str, slug: str | None) -> dict[str, Any]:
        """Read a list of authorities or logs, or the details of one entry. Returns the counts."""
        content = {"slug": slug}
        return self._call("POST", f"/api/v1/{list_name}/refresh", content, timeout=_LONG_TIMEOUT_SECONDS)

    def replay(self, fetch_id: int) -> dict[str, Any]:
        """Parse the kept body of a fetch again. Returns the outcome."""
        return self._call("POST", f"/api/v1/fetches/{fetch_id}/replay", {}, timeout=_LONG_TIMEOUT_SECONDS)

    def add_mark(self, content: dict[str, Any]) -> dict[str, Any]:
        """Add a mark. Returns it."""
        return self._call("POST", "/api/v1/marks", content)

    def remove_mark(self, mark_id: int) -> dict[str, Any]:
        """Remove a mark."""
        return self._call("DELETE", f"/api/v1/marks/{mark_id}", {})

    def _call(
        self, method: str, path: str, content: Any = None, *, timeout: float = _TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        import http.client

        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=timeout)
        body = None if content is None else json.dumps(content)
        try:
            connection.request(method, f"{self._address.path}{path}", body, self._headers)
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CollectorError(f"no answer from the daemon at {self.url}: {error}") from None
        finally:
            connection.close()
        if "error" in document:
            raise CollectorError(f"the daemon rejects the request: {document['error']}")
        return document


class TimeParam(click.ParamType[datetime]):
    """A time: RFC 3339 with a zone, a date (its midnight in UTC), `now`, or an age such as `36h` or `14d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return *value* as a time in UTC; click reports an invalid value with the allowed forms."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(str(value), utc_now())
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


TIME = TimeParam()


def _inherit(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    return value if value is not None else ctx.find_root().obj


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config FILE`; the option is also allowed before the name of the command."""
    return click.option(
        "--config",
        metavar="FILE",
        callback=_inherit,
        help=CONFIG_HELP,
    )(function)


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--format table|json`."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Print a table, or JSON for programs.",
    )(function)


def period_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--start T` and `--end T`, the half-open range [start, end). An empty range is a usage error."""

    @functools.wraps(function)
    def checked(*args: Any, start: datetime | None, end: datetime | None, **options: Any) -> Any:
        if start is not None and end is not None and start >= end:
            relation = "is after" if start > end else "is equal to"
            raise click.UsageError(
                f"--start {rfc3339(start)} {relation} --end {rfc3339(end)}; --start must be before --end."
            )
        return function(*args, start=start, end=end, **options)

    start = click.option(
        "--start",
        type=TIME,
        metavar="T",
        help="Start at T: a date, an RFC 3339 time, or an age (7d). Default: the oldest.",
    )
    end = click.option("--end", type=TIME, metavar="T", help="End before T. Default: the newest.")
    return start(end(checked))


series_option: Decorator = click.option(
    "--series",
    "series",
    multiple=True,
    metavar="LABEL",
    help="Only this series, by its label as in `collector series`; may be repeated. Default: all of the profile.",
)


MAX_ROWS = 1_000_000_000  # both databases accept this number


def limit_option(default: int) -> Decorator:
    """Add `--limit N`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, MAX_ROWS),
        default=default,
        show_default=True,
        metavar="N",
        help="Show at most N rows.",
    )
