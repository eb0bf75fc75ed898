"""`collector probe`: find out what the API does not publish, print a report, save the bodies."""

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

from collector.cli.bootstrap import config_option, format_option
from collector.cli.output import show, size
from collector.errors import CollectorError, UsageError, os_error_text
from collector.text import printable, printable_json
from collector.timestamps import rfc3339

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
    help="Save every body, and the report as JSON, in DIR, which must be new or empty.",
)
@config_option
@format_option
@click.pass_context
def probe_command(ctx: click.Context, config: str | None, output: str, save: Path | None) -> None:
    """Find out what the API does not publish: its form, units, delay, grid, limits, and its oldest data.

    It sends at most 30 requests, inside the budget. It continues after rejections and unexpected answers, and reports
    them. The store keeps the limits, the grid and the clock difference, but no points. It needs credentials, but no
    configuration file and no profile. Exit code 1 if something that the collector needs is not settled.

    \b
    Example: collector probe --save probe-1
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, require_credentials
    from collector.cli.output import show_json

    settings = require_credentials(load_settings(config, required=False))
    folder = BodyFolder.create(save, settings.secrets) if save else None
    report = asyncio.run(_probe(settings, _on_exchange(folder)))
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


def _on_exchange(folder: BodyFolder | None) -> Callable[[Exchange], None]:
    from collector.cli.output import say
    from collector.collect.probe import MOST_REQUESTS

    def on_exchange(exchange: Exchange) -> None:
        if folder:
            folder.keep(exchange)
        status = f"HTTP {exchange.status}, " if exchange.status else ""
        result = f"{exchange.outcome} ({status}{exchange.seconds * 1000:.0f} ms)"
        say(f"{exchange.number}/{MOST_REQUESTS} {exchange.request.name}: {result}")

    return on_exchange


async def _probe(settings: Settings, on_exchange: Callable[[Exchange], None]) -> ProbeReport:
    from collector.cli.bootstrap import open_collector
    from collector.collect.probe import Prober

    async with open_collector(settings, "probe") as (_, batch_runner):
        return await Prober(batch_runner, on_exchange).probe()


_REPORT = "probe.json"
_MASK = "***"


def redacted(content: Any, secrets: Sequence[str]) -> Any:
    """Return JSON *content* with every secret replaced by `***`, because Radar may quote what it received."""
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
class BodyFolder:
    """A private folder of bodies, one file each; *names* maps the number of a request to its file."""

    path: Path
    secrets: Sequence[str]
    names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, secrets: Sequence[str]) -> BodyFolder:
        """Create the folder with mode 0700. Raises UsageError if it is not empty, so that two probes are not mixed."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if next(path.iterdir(), None) is not None:
                raise UsageError(f"--save {path}: the directory is not empty; use a new one")
        except OSError as error:
            raise CollectorError(f"cannot create the directory {path}: {os_error_text(error)}") from None
        return cls(path, secrets)

    def keep(self, exchange: Exchange) -> None:
        """Write the body of an exchange, if it has one."""
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


_MAX_LINES = 40
_MAX_URL_LENGTH = 120
_MAX_ENTRIES = 2
_UNLIMITED_WIDTH = 10_000
_MIN_WIDTH = 40


def print_report(content: Content) -> None:
    """Print *content*, the fields of the JSON form."""
    _heading(f"Probe of {content['base_url']} by radar-collector {content['version']}")
    _print_requests(content["requests"])
    _heading("meta of the first answer")
    click.echo(_shortened_json(content["meta"]) if content["meta"] else "there was no answer")
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
    _list("Not sent, because of the limit of requests", content["skipped"])
    _list("Not settled", content["unsettled"])
    click.echo()
    click.echo(printable(verdict(content)))


def verdict(content: Content) -> str:
    """Return whether the collector can work, and the next step, in one line."""
    used = f"{content['requests_used']} of {content['requests_allowed']} requests"
    count = len(content["unsettled"])
    if not count:
        return f"verdict: all that the collector needs is settled ({used}); next: collector collect"
    things = "1 thing is" if count == 1 else f"{count} things are"
    advice = "read the list above, and attach the file of `collector report` to an issue"
    if content["ended"]:
        advice = "correct the cause, then run `collector probe` again"
    return f"verdict: {things} not settled ({used}); next: {advice}"


def _heading(text: str) -> None:
    click.echo()
    click.secho(printable(text), bold=True)


def _row(finding: Content) -> dict[str, str]:
    mark = " (!)" if finding["settled"] is False else ""
    return {"question": finding["question"] + mark, "answer": finding["answer"], "meaning": finding["meaning"]}


def _print_requests(requests: Sequence[Content]) -> None:
    """Print two or three lines for each request: the response, the request, and the reason if it has no answer."""
    for request in requests:
        status = f"HTTP {request['status']}, " if request["status"] else ""
        result = f"{status}{size(request['bytes'])}, {request['milliseconds']:,} ms"
        _entry(f"{request['number']:2}  {request['name']}: {request['outcome']} ({result})")
        click.echo(
            printable("    " + _short_url(request["path"], request["query"]))
        )  # not wrapped, so that it can be copied
        if request["reason"]:
            _entry("    " + request["reason"])


def _entry(line: str) -> None:
    """Print a line, wrapped to the width of a terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED_WIDTH
    click.echo(textwrap.fill(printable(line), max(width, _MIN_WIDTH), subsequent_indent="    ", break_on_hyphens=False))


def _short_url(path: str, query: str) -> str:
    url = f"GET {path}?{query}"
    return url if len(url) <= _MAX_URL_LENGTH else f"{url[:_MAX_URL_LENGTH]}… ({len(url):,} bytes)"


def _shortened_json(meta: Any) -> str:
    lines = printable_json(json.dumps(_shortened(meta), indent=2, ensure_ascii=False)).splitlines()
    more = [f"… {len(lines) - _MAX_LINES} lines more"] if len(lines) > _MAX_LINES else []
    return "\n".join([*lines[:_MAX_LINES], *more])


def _shortened(content: Any) -> Any:
    """Return *content* with only the first entries of long arrays and the beginning of long texts."""
    match content:
        case list() if len(content) > _MAX_ENTRIES:
            more = f"… {len(content) - _MAX_ENTRIES} more"
            return [*map(_shortened, content[:_MAX_ENTRIES]), more]
        case list():
            return [*map(_shortened, content)]
        case dict():
            return {key: _shortened(value) for key, value in content.items()}
        case str():
            return content if len(content) <= _MAX_URL_LENGTH else content[:_MAX_URL_LENGTH] + "…"
        case _:
            return content


def _print_deviations(deviations: Sequence[Content], shape: Content) -> None:
    if deviations:
        show([_kind(deviation, "deviation", "answer is") for deviation in deviations], "table")
    else:
        click.echo("none: every answer has the form of the contract" if shape else "there was no answer")


def _kind(seen: Content, title: str, verdict: str) -> dict[str, Any]:
    """Return the row of one deviation: its text, its number of answers, and the first request."""
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
