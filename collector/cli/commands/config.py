"""`collector config`: check, show or write the configuration. `collector docs`: print the reference."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from collector import docs
from collector.cli.atomic_file import STDOUT, open_output
from collector.cli.bootstrap import config_option, format_option
from collector.errors import UsageError, cannot_write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.model import Question
    from collector.settings import Settings
    from collector.settings.loading import LoadedSettings
    from collector.store import Store

T = TypeVar("T")

PRESETS = ("ecosystem", "market-shares")
_PRESET_HELP = (
    "Profiles: two examples; ecosystem: every authority, log and kind of certificate, hourly; market-shares: the "
    "precertificates of every authority, hourly."
)
_EXAMPLE = "config.example.toml"
_STORE_TIMEOUT_SECONDS = 5.0


@click.group("config")
def config_command() -> None:
    """Check, show or write the configuration.

    Example: collector config init && collector config check
    """


@config_command.command("check", short_help="Check the configuration and report every problem.")
@config_option
def check(config: str | None) -> None:
    """Check the configuration and report every problem at once. Exit code 2 if there is a problem.

    With a store, it also warns of names in filters that Radar's lists of authorities and logs do not have.

    Example: collector config check --config /etc/collector/config.toml
    """
    from collector.cli.bootstrap import NO_CREDENTIALS
    from collector.cli.output import say

    loaded = _read(config, required=True)
    profiles = loaded.settings.profiles
    series = {series.query for profile in profiles for series in profile.series}
    click.echo(f"{loaded.document.name}: {_counted(len(profiles), 'profile')}, {len(series)} series, ok")
    if not profiles:
        click.echo("there are no [[profiles]], so the collector would fetch nothing", err=True)
    if loaded.settings.radar.credentials is None:
        click.echo(NO_CREDENTIALS, err=True)
    for warning in (*_relative(loaded.settings), *_stars(loaded.settings), *_unknown_names(loaded.settings)):
        say(warning)


def _relative(settings: Settings) -> list[str]:
    """Return a warning for each profile whose `since` has no effect because its values are relative.

    Without a store that can be read there are no warnings.
    """
    profiles = [profile for profile in settings.profiles if profile.since]
    queries = [series.query for profile in profiles for series in profile.series]

    async def read(store: Store) -> dict[Question, str]:
        relative = await store.relative_queries(queries)
        return {query: word for query, word in (await store.measures(queries)).items() if query in relative}

    words_by_question = (_from_store(settings, read) if queries else None) or {}
    words = {
        profile.name: [words_by_question.get(series.query, "") for series in profile.series] for profile in profiles
    }
    return [
        f'profile "{name}": Radar scales the values within each answer ({relative[0]}), so answers cannot be combined: '
        "since has no effect, and only the newest answer is kept"
        for name, normalizations in words.items()
        if (relative := [word for word in normalizations if word])
    ]


def _stars(settings: Settings) -> list[str]:
    """Return a warning for each star that stands for no name, because the store knows none."""
    from collector.datasets import dataset_named
    from collector.datasets.catalogue import list_of_star

    starred = [profile for profile in settings.profiles if profile.starred]
    placed = (_from_store(settings, lambda store: store.placed(starred)) if starred else None) or starred
    parameters = {profile.name: dataset_named(profile.dataset).filters for profile in placed}
    return [
        f'profile "{profile.name}": each.{parameter.option} = ["*"] stands for no name yet, so nothing is fetched: '
        f'collect a profile with dimension = "{parameter.dimension}" into this store, and its groups are the names'
        + (f"; so are those of Radar's {known.name}, once the service has read them" if known else "")
        for profile in placed
        for name in profile.starred
        if not profile.names.get(name)
        for parameter in (parameters[profile.name][name],)
        for known in (list_of_star(name),)
    ]


def _unknown_names(settings: Settings) -> list[str]:
    """Return a warning for each name in a filter that nobody knows. Without a store there are none."""
    from collector.report.names import name_warnings

    async def read(store: Store) -> list[str]:
        return await store.with_read_view(lambda view: name_warnings(view, settings.profiles))

    return _from_store(settings, read) or []


def _from_store(settings: Settings, read: Callable[[Store], Awaitable[T]]) -> T | None:
    """Return the result of *read*; None if the store cannot be read, because the check needs no store."""
    import asyncio

    from collector.errors import CollectorError
    from collector.store import Store

    async def work() -> T:
        async with (
            asyncio.timeout(_STORE_TIMEOUT_SECONDS),
            Store.open(settings.database.url.reveal(), owner=None) as store,
        ):
            return await read(store)

    try:
        return asyncio.run(work())
    except (CollectorError, TimeoutError):
        return None


@config_command.command("show", short_help="Print every effective setting and its origin.")
@config_option
@format_option
def show(config: str | None, output: str) -> None:
    """Print every effective setting, with secrets masked, and its origin.

    Example: collector config show --format json
    """
    from collector.cli import output as out
    from collector.settings.loading import effective

    settings = list(effective(_read(config, required=False)))
    if output == "json":
        out.show_json([{"key": x.key, "value": x.value, "from": x.origin} for x in settings])
    else:
        out.show([{"key": x.key, "value": _words(x.value), "from": x.origin} for x in settings], output)


@config_command.command("init", short_help="Write an example configuration.")
@click.argument("file", default="config.toml", metavar="[FILE]")
@click.option(
    "--preset", type=click.Choice(["example", *PRESETS]), default="example", show_default=True, help=_PRESET_HELP
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
def init(file: str, preset: str, *, force: bool) -> None:
    """Write a commented configuration to FILE; `-` prints it. Default: config.toml.

    \b
    Example: collector config init /etc/collector/config.toml
             collector config init --preset ecosystem
    """
    text = example() if preset == "example" else with_profiles(preset)
    if file == STDOUT:
        with open_output(STDOUT) as stream:
            stream.write(text.encode())
        return
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists; --force overwrites it") from None
    except OSError as error:
        raise cannot_write(file, error) from error
    click.echo(f"{file} written; next: collector config check --config {file}")


def example() -> str:
    """Return the commented example from the installed package or from the checkout."""
    package = resources.files("collector")
    shipped = package / _EXAMPLE
    file = shipped if shipped.is_file() else Path(str(package)).parent / _EXAMPLE
    return file.read_text(encoding="utf-8")


def with_profiles(preset: str) -> str:
    """Return the sections of the example, and the profiles of a preset."""
    general = example().partition("# A profile is a history to keep")[0]
    return general + (resources.files("collector") / "settings" / f"{preset}.toml").read_text(encoding="utf-8")


def _read(config: str | None, *, required: bool) -> LoadedSettings:
    from collector.settings.loading import read_settings
    from collector.timestamps import utc_now

    return read_settings(config, os.environ, {}, utc_now(), required=required)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _words(value: object) -> str:
    """Return a value as the configuration spells it."""
    if isinstance(value, list):
        return ", ".join(f'"{text}"' for text in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


@click.command("docs")
@click.argument("page", type=click.Choice([*docs.PAGES]), required=False)
def docs_command(page: str | None) -> None:
    """Print one page of the reference as Markdown, or all pages. The service serves the same pages at /docs.

    \b
    Example: collector docs settings
    """
    click.echo(docs.page(page) if page else docs.whole(), nl=False)
