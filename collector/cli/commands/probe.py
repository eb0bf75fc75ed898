"""`collector probe`: what the API does not publish."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option
from collector.cli.output import show, size
from collector.errors import CollectorError, UsageError, os_error_text
from collector.model import rfc3339
from collector.text import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.collect.probe import Exchange, ProbeReport
    from collector.settings import Settings

    Content = Mapping[str, Any]


@click.command("probe")
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep every body, and the report as JSON, in DIR, which must be new or empty.",
)
@config_option
@format_option
@click.pass_context
def probe_command(ctx: click.Context, config: str | None, output: str, save: Path | None) -> None:
    """Ask the API for what is not published: its form, units, delay, grid, limits, and how far back it goes.

    At most 30 requests, inside the budget; it goes on after refusals and odd answers, and names them. The store
    remembers the limits that were found, where buckets start, and the difference of the clocks, but no points. It
    needs credentials only: neither a configuration file nor a profile. Exit code 1 if something that the collector
    needs is not settled.

    \b
    Example: collector probe --save probe-1
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, require_credentials
    from collector.cli.commands.probe import Folder, print_report, redacted
    from collector.cli.output import show_json

    settings = require_credentials(load_settings(config, required=False))
    folder = Folder.create(save, settings.secrets) if save else None
    report = asyncio.run(_probe(settings, _hear(folder)))
    content = report.to_json(settings.radar.base_url)
    for request in content["requests"]:
        request["file"] = folder.names.get(request["number"]) if folder else None
    clean: dict[str, Any] = redacted(content, settings.secrets)
    if folder:
        folder.write_report(clean)
    if output == "json":
        show_json(clean)
    else:
        print_report(clean)
    ctx.exit(0 if clean["settled"] else 1)


def _hear(folder: Folder | None) -> Callable[[Exchange], None]:
    from collector.cli.output import say
    from collector.collect.probe import MOST_REQUESTS

    def hear(exchange: Exchange) -> None:
        if folder:
            folder.keep(exchange)
        status = f"HTTP {exchange.status}, " if exchange.status else ""
        came = f"{exchange.outcome} ({status}{exchange.seconds * 1000:.0f} ms)"
        say(f"{exchange.number}/{MOST_REQUESTS} {exchange.request.name}: {came}")

    return hear


async def _probe(settings: Settings, hear: Callable[[Exchange], None]) -> ProbeReport:
    from collector.cli.bootstrap import open_collector
    from collector.collect.probe import Prober

    async with open_collector(settings, "probe") as (_, batch_runner):
        return await Prober(batch_runner, hear).probe()


_REPORT = "probe.json"
_MASK = "***"


def redacted(content: Any, secrets: Sequence[str]) -> Any:
    """Return JSON *content* with every secret shown as `***`, in case that Radar quotes what it was sent."""
    match content:
        case str():
            for secret in secrets:
                content = content.replace(secret, _MASK)
            return content
        case dict():
            return {redacted(key, secrets): redacted(value, secrets) for key, value in content.items()}
        case list() | tuple():
            return [redacted(value, secrets) for value in content]
        case _:
            return content


@dataclass
class Folder:
    """Where bodies are kept; *names* maps the number of a request to its file."""

    path: Path
    secrets: Sequence[str]
    names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, secrets: Sequence[str]) -> Folder:
        """Make the folder, for its owner alone; UsageError for one that holds something, so that nothing is mixed."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if next(path.iterdir(), None) is not None:
                raise UsageError(f"--save {path}: the directory is not empty; name a new one")
        except OSError as error:
            raise CollectorError(f"cannot create the directory {path}: {os_error_text(error)}") from None
        return cls(path, secrets)

    def keep(self, exchange: Exchange) -> None:
        """Write the body of an exchange, if one came."""
        if exchange.body:
            kind = "json" if exchange.document is not None else "html" if exchange.body.lstrip()[:1] == b"<" else "txt"
            name = f"{exchange.number:02}-{re.sub('[^a-z0-9]+', '-', exchange.request.name.lower())}.{kind}"
            body = exchange.body
            for secret in self.secrets:
                body = body.replace(secret.encode(), _MASK.encode())
            self._write(name, body)
            self.names[exchange.number] = name

    def write_report(self, content: Any) -> None:
        """Write the report as JSON."""
        self._write(_REPORT, json.dumps(content, default=rfc3339, indent=2).encode())

    def _write(self, name: str, content: bytes) -> None:
        file = self.path / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
        except OSError as error:
            raise CollectorError(f"cannot write {file}: {os_error_text(error)}") from None


_MOST_LINES = 40
_MOST_OF_A_URL = 120
_MOST_ENTRIES = 2
_MOST_OF_A_LINE = 10_000
_NARROWEST = 40


def print_report(content: Content) -> None:
    """Print *content*, the fields of the JSON form."""
    _heading(f"Probe of {content['base_url']} by radar-collector {content['version']}")
    _print_requests(content["requests"])
    _heading("meta of the first answer")
    click.echo(_short_json(content["meta"]) if content["meta"] else "none came")
    if content["shape"]:
        _heading("Form of an answer")
        show([{"part": part, "form": form} for part, form in content["shape"].items()], "table")
    for section, findings in groupby(content["findings"], key=lambda finding: finding["section"]):
        _heading(section)
        show([_row(finding) for finding in findings], "table")
    _heading("Deviations")
    _print_deviations(content["deviations"], content["shape"])
    if content["refusals"]:
        _heading("Refusals")
        show([_kind(refusal, "refusal", "outcome") for refusal in content["refusals"]], "table")
    _list("Not asked, because of the cap on requests", content["skipped"])
    _list("Not settled", content["unsettled"])
    click.echo()
    click.echo(printable(verdict(content)))


def verdict(content: Content) -> str:
    """Say in a line whether the collector can work, and what to do next."""
    used = f"{content['requests_used']} of {content['requests_allowed']} requests"
    count = len(content["unsettled"])
    if not count:
        return f"verdict: all that the collector needs is settled ({used}); next: collector collect"
    things = "1 thing is" if count == 1 else f"{count} things are"
    advice = "read the list above, and attach the file of `collector report` to an issue"
    if content["ended"]:
        advice = "mend what ended it, then run `collector probe` again"
    return f"verdict: {things} not settled ({used}); next: {advice}"


def _heading(text: str) -> None:
    click.echo()
    click.secho(printable(text), bold=True)


def _row(finding: Content) -> dict[str, str]:
    mark = " (!)" if finding["settled"] is False else ""
    return {"question": finding["question"] + mark, "answer": finding["answer"], "meaning": finding["meaning"]}


def _print_requests(requests: Sequence[Content]) -> None:
    """Print each request in two lines or three: what came, what was sent, and why it is no answer."""
    for request in requests:
        status = f"HTTP {request['status']}, " if request["status"] else ""
        came = f"{status}{size(request['bytes'])}, {request['milliseconds']:,} ms"
        _entry(f"{request['number']:2}  {request['name']}: {request['outcome']} ({came})")
        click.echo(printable("    " + _short_url(request["path"], request["query"])))  # not folded, to be copied
        if request["reason"]:
            _entry("    " + request["reason"])


def _entry(line: str) -> None:
    """Print a line, on a terminal folded to its width."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _MOST_OF_A_LINE
    click.echo(textwrap.fill(printable(line), max(width, _NARROWEST), subsequent_indent="    ", break_on_hyphens=False))


def _short_url(path: str, query: str) -> str:
    url = f"GET {path}?{query}"
    return url if len(url) <= _MOST_OF_A_URL else f"{url[:_MOST_OF_A_URL]}… ({len(url):,} bytes)"


def _short_json(meta: Any) -> str:
    lines = printable_json(json.dumps(_shortened(meta), indent=2, ensure_ascii=False)).splitlines()
    more = [f"… {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *more])


def _shortened(content: Any) -> Any:
    """Leave out of long arrays all but the first entries, of long texts all but the beginning."""
    match content:
        case list() if len(content) > _MOST_ENTRIES:
            more = f"… {len(content) - _MOST_ENTRIES} more"
            return [*map(_shortened, content[:_MOST_ENTRIES]), more]
        case list():
            return [*map(_shortened, content)]
        case dict():
            return {key: _shortened(value) for key, value in content.items()}
        case str():
            return content if len(content) <= _MOST_OF_A_URL else content[:_MOST_OF_A_URL] + "…"
        case _:
            return content


def _print_deviations(deviations: Sequence[Content], shape: Content) -> None:
    if deviations:
        show([_kind(deviation, "deviation", "answer is") for deviation in deviations], "table")
    else:
        click.echo("none: every answer has the form of the contract" if shape else "no answer came")


def _kind(seen: Content, title: str, verdict: str) -> dict[str, Any]:
    """Return a row: what several answers have in common, how often, and where it was first."""
    return {
        title: seen["text"],
        verdict: seen["verdict"],
        "times": seen["answers"],
        "first in": f"#{seen['first_request']}",
    }


def _list(title: str, sentences: Iterable[str]) -> None:
    if sentences:
        _heading(title)
        for sentence in sentences:
            _entry(f"- {sentence}")
