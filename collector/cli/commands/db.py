"""`collector db`: commands on the whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from collector.cli.bootstrap import config_option

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from collector.cli.bootstrap import DaemonClient
    from collector.settings import Settings
    from collector.store.retention.compact import Compacted
    from collector.store.retention.prune import Pruned

T = TypeVar("T")


@click.group("db")
def db_command() -> None:
    """Migrate, verify, back up, copy, prune or compact the store.

    \b
    Example: collector db upgrade
    """


def _url(config: str | None) -> str:
    from collector.cli.bootstrap import load_settings

    return load_settings(config, required=False).database.url.reveal()


def _await(work: Coroutine[None, None, T]) -> T:
    import asyncio

    return asyncio.run(work)


@db_command.command("upgrade", short_help="Create the store, or migrate it to this version.")
@config_option
def upgrade(config: str | None) -> None:
    """Create the store, or migrate its schema to this version. With `timescale`, points become a hypertable.

    \b
    Example: collector db upgrade
    """
    from collector.cli.bootstrap import load_settings
    from collector.store.admin.commands import upgrade

    database = load_settings(config, required=False).database
    before, after = upgrade(database.url.reveal(), timescale=database.timescale)
    done = "unchanged" if before == after else f"before: {before or 'none'}"
    click.echo(f"schema revision {after}, {done}" + (", points are a hypertable" if database.timescale else ""))


@db_command.command("downgrade", short_help="Migrate the schema back to REV.")
@click.argument("revision", metavar="REV")
@config_option
def downgrade(revision: str, config: str | None) -> None:
    """Migrate the schema back to REV. The revision `base` deletes all tables with their data.

    \b
    Example: collector db downgrade 0001
    """
    from collector.store.admin.commands import downgrade

    after = downgrade(_url(config), revision)
    click.echo(f"schema revision {after or 'none'}")


@db_command.command("current", short_help="Print the schema revision of the store.")
@config_option
def current(config: str | None) -> None:
    """Print the schema revision of the store.

    \b
    Example: collector db current
    """
    from collector.store.admin.commands import current
    from collector.store.db.migrate import HEAD

    revision = current(_url(config))
    click.echo(f"{revision or 'none'}" + ("" if revision == HEAD else f" (this version uses {HEAD})"))


@db_command.command("check", short_help="Compare the schema with the one of this version.")
@config_option
@click.pass_context
def check(ctx: click.Context, config: str | None) -> None:
    """Compare the schema of the store with the one of this version. Exit code 1 if there are differences.

    \b
    Example: collector db check && echo fine
    """
    from collector.store.admin.commands import check

    differences = check(_url(config))
    for difference in differences:
        click.echo(difference)
    if not differences:
        click.echo("the schema is correct")
    ctx.exit(1 if differences else 0)


@db_command.command("verify", short_help="Verify the stored data by checksums.")
@config_option
@click.pass_context
def verify(ctx: click.Context, config: str | None) -> None:
    """Verify the stored data: checksums, references and integrity. Exit code 1 if there is a finding.

    It changes nothing. A running collector may own the store.

    \b
    Example: collector db verify
    """
    from collector.store.admin.verify import verify

    verified = verify(_url(config))
    for finding in verified.findings:
        click.echo(finding)
    if not verified.findings:
        click.echo(
            f"{verified.points} points in {verified.series} series are correct: {verified.checksums} checksums match"
        )
    ctx.exit(1 if verified.findings else 0)


@db_command.command("dump", short_help="Print all stored data in one canonical order.")
@click.option("--digest", is_flag=True, help="Print only the SHA-256 of the dump.")
@config_option
def dump(config: str | None, *, digest: bool) -> None:
    """Print all stored data as JSON lines in one canonical order. The same history gives the same dump in any database.

    \b
    Example: collector db dump --digest
    """
    from collector.store.admin.commands import digest as digest_of

    if digest:
        click.echo(digest_of(_url(config)))
    else:
        _dump(_url(config))


def _dump(url: str) -> None:
    from contextlib import closing

    from collector.cli.atomic_file import STDOUT, open_output
    from collector.store.admin.commands import dump

    with open_output(STDOUT) as stream, closing(dump(url)) as texts:
        for text in texts:
            stream.write(text.encode())


@db_command.command("backup", short_help="Write a verified copy of a SQLite store.")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@config_option
def backup(file: str, config: str | None, *, force: bool) -> None:
    """Write a verified copy of a SQLite store to FILE, complete or not at all.

    A running collector may own the store. For Postgres use pg_dump, or `db copy sqlite:///FILE` for a SQLite copy.

    \b
    Example: collector db backup /backup/collector.db
    """
    from pathlib import Path

    from collector.store.admin.backup import backup

    size = backup(_url(config), Path(file), force=force)
    click.echo(f"{file}: {size} bytes, verified")


@db_command.command("restore", short_help="Replace a SQLite store by a backup.")
@click.argument("file", metavar="FILE", type=click.Path())
@config_option
def restore(file: str, config: str | None) -> None:
    """Verify the backup FILE and replace the SQLite store by a copy of it, completely or not at all.

    Stop the collector first, because a store in use is not replaced. The old store is kept under the name that is
    printed; delete it when you do not need it. For Postgres use pg_restore.

    \b
    Example: collector db restore /backup/collector.db
    """
    from pathlib import Path

    from collector.store.admin.backup import restore

    restored = restore(_url(config), Path(file))
    click.echo(f"{restored.path}: {restored.size} bytes from {file}, verified")
    if restored.kept:
        click.echo(f"the old store is kept as {restored.kept}")


@db_command.command("copy", short_help="Copy the store to another database.")
@click.argument("url", metavar="URL")
@config_option
def copy(url: str, config: str | None) -> None:
    """Copy the store to URL, from SQLite to Postgres or back, and compare the digests of both.

    URL must be an empty database or a new file. If the copy is interrupted, the same command continues it. Set the
    password in PGPASSWORD or ~/.pgpass, because other users can see URL in the list of processes.

    \b
    Example: collector db copy postgresql://collector@db.example/radar
    """
    from collector.cli.progress import copy_progress
    from collector.store.admin.copy import copy

    with copy_progress() as on_rows:
        copied = copy(_url(config), url, on_rows)
    click.echo(f"{copied.rows} rows copied; both stores have the digest {copied.digest}")


@db_command.command("prune", short_help="Delete rows that are older than [retention] allows.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the number of rows, and delete nothing; a running collector may own the store.",
)
@config_option
@click.pass_context
def prune(ctx: click.Context, config: str | None, *, dry_run: bool) -> None:
    """Delete rows that are older than [retention] allows, as the running collector does daily. Default: nothing.

    Deleted points are not gaps and are not fetched again. Freed space is reused; a SQLite file does not shrink until
    `collector db compact`. If a daemon owns the store, it does the work.

    \b
    Example: collector db prune --dry-run
    """
    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon

    settings = load_settings(config, required=False)
    pruned = run_here_or_in_daemon(settings, lambda: _await(_prune(settings, dry_run=dry_run)), _prune_there)
    if pruned is None:
        click.echo("the daemon needs longer than a minute to prune; its log has the number of deleted rows", err=True)
        return
    deleted = ", ".join(f"{number} {name}" for name, number in pruned.counts.items())
    click.echo(f"{'would be deleted' if dry_run else 'deleted'}: {deleted}")
    ctx.exit(1 if pruned.damaged else 0)


def _prune_there(daemon: DaemonClient) -> Pruned | None:
    """Prune in the daemon, by its own configuration. Returns None if it has not finished yet."""
    from collector.store import Pruned

    click.echo(f"sent to the daemon at {daemon.url}, which uses its own [retention]", err=True)
    done = daemon.prune()
    if done.pop("running", False):
        return None
    return Pruned(**done | {"damaged": tuple(done["damaged"])})


async def _prune(settings: Settings, *, dry_run: bool) -> Pruned:
    from collector.store import Store
    from collector.store.admin.commands import current, prunable
    from collector.store.db.migrate import check
    from collector.timestamps import utc_now

    database, now = settings.database, utc_now()
    url = database.url.reveal()
    if dry_run:
        return prunable(url, settings.retention, now)
    if current(url) is None:  # a missing store is not created
        check(None)
    async with Store.open(url, owner="db prune", upgrade=database.upgrade, timescale=database.timescale) as store:
        return await store.prune(settings.retention, now)


@db_command.command("compact", short_help="Give the room of deleted rows back to the disk.")
@config_option
def compact(config: str | None) -> None:
    """Give the room of deleted rows back, for example after `collector db prune`. The stored history is unchanged.

    A SQLite file is written anew without its free pages. This needs free room for two copies of what is in use, one
    of them in $SQLITE_TMPDIR, $TMPDIR or /var/tmp. Readers go on; writes wait. Postgres runs VACUUM: freed room is
    reused, and only free pages at the end of a table are given back. If a daemon owns the store, it does the work and
    collects again afterwards.

    \b
    Example: collector db compact
    """
    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon

    settings = load_settings(config, required=False)
    compacted = run_here_or_in_daemon(settings, lambda: _await(_compact(settings)), _compact_there)
    if compacted is None:
        click.echo("the daemon needs longer than a minute to compact; its log has the outcome", err=True)
        return
    if compacted.waits_for_readers:
        click.echo("a reader still needs the old pages; the file becomes small with writes after its end", err=True)
    click.echo(f"compacted: {compacted.bytes_before} bytes before, {compacted.bytes_after} bytes after")


def _compact_there(daemon: DaemonClient) -> Compacted | None:
    """Compact in the daemon. Returns None if it has not finished yet."""
    from collector.store import Compacted

    click.echo(f"sent to the daemon at {daemon.url}", err=True)
    done = daemon.compact()
    return None if done.get("running") else Compacted(**done)


async def _compact(settings: Settings) -> Compacted:
    from collector.store import Store
    from collector.store.admin.commands import current
    from collector.store.db.migrate import check

    database = settings.database
    url = database.url.reveal()
    if current(url) is None:  # a missing store is not created
        check(None)
    async with Store.open(url, owner="db compact", upgrade=database.upgrade, timescale=database.timescale) as store:
        return await store.compact()
