"""`collector status`: the status document, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.settings import Settings


@click.command("status")
@config_option
@format_option
def status_command(config: str | None, output: str) -> None:
    """Show the running service, the profiles with newest point, lag, gaps, failures and next fire, and the store.

    The lag is the time from the newest stored bucket to the newest bucket that should be published.

    The exit code is 0, also for problems; `collector healthcheck` exits with 1 if the service is not ready.

    \b
    Example: collector status --format json
    """
    import asyncio

    from collector.cli.bootstrap import load_settings

    asyncio.run(print_status(load_settings(config), output))


async def print_status(settings: Settings, output: str) -> None:
    """Print the status of the store of *settings*."""
    from collector.cli.output import show_json
    from collector.report.status import status_document
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        now = store.clock()
        document = await status_document(store, settings.profiles, settings.radar.requests_per_5min, now)
        waiting = len(await store.bodies(waiting=True))
    if output == "json":
        show_json(document)
    else:
        _print(document, now, waiting)


def _print(document: dict[str, Any], now: datetime, waiting: int) -> None:
    from collector.cli.output import cell, show, size

    click.echo(f"service {_service(document, now)}\n")
    show([_row(profile, now) for profile in document["profiles"]], "table", empty="no profiles are configured")
    store, budget = document["store"], document["budget"]
    amount = f"{store['points']:,} points, {size(store['bytes'])}"
    click.echo(f"\nstore   {store['backend']}, revision {store['revision']}, {amount}")
    blocked = f", blocked until {cell(budget['blocked_until'])}" if budget["blocked_until"] else ""
    for replica in document["replicas"]:
        since, busy = cell(replica["started_at"]), ", ".join(replica["working_on"])
        click.echo(
            cell(f"replica {replica['name']}, version {replica['version']}, since {since}")
            + (f": {cell(busy)}" if busy else "")
        )
    click.echo(f"budget  {budget['used']} of {budget['limit']} requests in {budget['window_seconds']} s{blocked}")
    for line in (*_lists(document, now), *_beginnings(document)):
        click.echo(line)
    if document["upstream"]["state"] != "ok":
        click.echo(f"radar   {_upstream(document['upstream'], now)}")
    difference = next((profile["clock_difference_seconds"] for profile in document["profiles"]), None)
    if difference is not None:
        click.echo(f"clock   {_clock(difference)}")
    if document["waiting"]:
        click.echo(f"waiting {_wait(document['waiting'], now)}")
    if waiting:
        noun = "1 refused answer" if waiting == 1 else f"{waiting} refused answers"
        click.echo(f"kept    {noun}: `collector fetches --kept`, `collector replay`")
    for line in _learned(document):
        click.echo(line)
    for warning in document["warnings"]:
        click.echo(f"warning {cell(warning)}")


def _lists(document: dict[str, Any], now: datetime) -> Iterator[str]:
    """Yield a line for each list of the catalogue that was collected."""
    from collector.cli.output import duration

    for known in document["catalogue"]:
        if known["last_success"]:
            age = duration((now - known["last_success"]).total_seconds())
            counts = f"{known['entries']:,} {known['list']}, {known['with_details']:,} with details"
            yield f"lists   {counts}, read {age} ago"


def _beginnings(document: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each profile for which the beginning of Radar's history is known."""
    from collector.cli.output import cell

    for profile in document["profiles"]:
        if profile["history_begins"]:
            yield f"history {cell(profile['name'])}: history begins {cell(profile['history_begins'])}"


def _learned(document: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each learned grid and each accepted deviation of answers."""
    from collector.cli.output import cell

    for grid in document["grids"]:
        start, since = cell(grid["buckets_start"]), cell(grid["since"])
        yield f"grid    buckets of {grid['agg_interval']} start at {start} UTC, found {since}"
    for times in document["publication"]:
        yield f"radar   {_publication(times)}"
    for deviation in document["deviations"]:
        example = f"; `collector fetches {deviation['example']} --body` shows one" if deviation["example"] else ""
        kind, first_seen = cell(deviation["kind"]), cell(deviation["first_seen"])
        yield f"reader  {kind} (first in fetch {deviation['fetch']}, {first_seen}{example})"


def _publication(times: dict[str, Any]) -> str:
    """Return how soon the buckets of an interval are published, and how late they were revised."""
    from collector.cli.output import duration

    after, until, due = (times[f"{key}_seconds"] for key in ("published_after", "revised_until", "due_after"))
    words = [f"published {duration(after)} after their end" if after is not None else "not seen published yet"]
    words += [f"due {duration(due)} after their end"] if due else []
    words += [f"revised up to {duration(until)} after it"] if until is not None else []
    return f"buckets of {times['agg_interval']}: {', '.join(words)}"


def _service(document: dict[str, Any], now: datetime) -> str:
    """Return whether a service runs, its name and version, its start, and its last progress."""
    from collector.cli.output import cell, duration

    service, commands = document["service"], ", ".join(map(cell, document["commands"]))
    busy = f"; running commands: {commands}" if commands else ""
    if service is None:
        return f"not running{busy}"
    name = f"{cell(service['name'])}, version {cell(service['version'])}"
    if not service["running"]:
        return f"not running; the last one, {name}, ended {cell(service['since'])}{busy}"
    progress = service["last_progress"]
    last = f"{duration((now - progress).total_seconds())} ago" if progress else "none yet"
    return f"{name}, running since {cell(service['since'])}, last progress: {last}{busy}"


def _wait(wait: dict[str, Any], now: datetime) -> str:
    """Return `silent, until 2026-…Z (in 40s): HTTP 503`."""
    from collector.cli.output import cell, duration

    words = f": {cell(wait['message'])}" if wait["message"] else ""
    return (
        f"{wait['reason']}, until {cell(wait['until'])} (in {duration((wait['until'] - now).total_seconds())}){words}"
    )


def _clock(seconds: int) -> str:
    """Return the difference of our clock to Radar's."""
    from collector.cli.output import duration

    return f"{duration(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} Radar's"


def _upstream(radar: dict[str, Any], now: datetime) -> str:
    from collector.cli.output import cell, duration

    wait = max((radar["asked_again_at"] - now).total_seconds(), 0)
    return f"{radar['state']}: {cell(radar['reason'])}; next request in {duration(wait)}"


def _row(profile: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the row of one profile, with recent and next times as durations."""
    from collector.cli.output import duration

    success, next_fire = profile["last_success"], profile["next_fire"]
    return {
        "name": profile["name"],
        "interval": profile["agg_interval"],
        **{name: profile[name] for name in ("series", "points", "last_point")},
        "lag": duration(profile["lag_seconds"]),
        "gaps": profile["gaps"],
        "upstream": profile["upstream_gaps"],
        "unconfirmed": profile["unconfirmed"],
        "failures": profile["failures"],
        "last_success": f"{duration((now - success).total_seconds())} ago" if success else None,
        "next_fire": f"in {duration((next_fire - now).total_seconds())}" if next_fire else None,
        "state": profile["state"] + (_next_request(profile["waiting"], now) if profile["waiting"] else ""),
    }


def _next_request(wait: dict[str, Any], now: datetime) -> str:
    from collector.cli.output import duration

    return f" ({wait['reason']}, next request in {duration((wait['until'] - now).total_seconds())})"
