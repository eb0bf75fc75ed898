"""The report of `collector probe` for a person: sections, what each finding means, and a verdict at the end."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from collector.cli.output import show, size
from collector.text import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Content = Mapping[str, Any]

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
