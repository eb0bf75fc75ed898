"""A citable figure: the value of one series over a range, with its dates, the licence and a permalink."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from collector.analysis.refusals import RequestRefused
from collector.errors import CollectorError, UsageError, did_you_mean
from collector.report.analysis import ranges
from collector.report.analysis.counted import what_is_counted
from collector.report.analysis.output import number_text
from collector.report.analysis.scope import scopes, span_text
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from collector.report.analysis.scope import Scope
    from collector.store import PointQuery, ReadView

LICENCE = "CC BY-NC 4.0"
LICENCE_URL = "https://creativecommons.org/licenses/by-nc/4.0/"
SOURCE = "Cloudflare Radar"
SOURCE_URL = "https://radar.cloudflare.com"
_SPECIAL = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


@dataclass(frozen=True)
class Citation:
    """The *value* of a series from *start* up to, not including, *end*, as it was known at *as_of*.

    *last_updated* is that of Radar's newest answer about the series. *counted* says what the values count, if that is
    not one each; None if nothing is known of it. *link* is relative without a public address.
    """

    series: str
    profile: str
    value: float
    unit: str
    agg_interval: str
    start: datetime
    end: datetime
    known: int
    expected: int
    last_updated: datetime | None
    as_of: datetime
    link: str
    counted: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The citation as JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        licence = {"licence": LICENCE, "licence_url": LICENCE_URL, "source": SOURCE, "source_url": SOURCE_URL}
        return {**fields, **licence, "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """The citation as a sentence."""
        unit = self.unit if self.unit not in {"", "*"} else "in Radar's unit"
        coverage = f"all {self.known:,}" if self.known >= self.expected else f"{self.known:,} of {self.expected:,}"
        buckets = f"sum of {coverage} buckets" if self.expected > 1 else "one bucket"
        updated = f", lastUpdated {rfc3339(self.last_updated)}" if self.last_updated else ""
        counted = f"Counted are {self.counted}. " if self.counted else ""
        return (
            f"{self.series}: {_amount(self.value)} {unit} from {rfc3339(self.start)} until {rfc3339(self.end)} "
            f"({buckets} of {self.agg_interval}{updated}, as known at {rfc3339(self.as_of)}). {counted}"
            f"Data: {SOURCE}, {LICENCE}. {self.link}"
        )

    @property
    def bibtex(self) -> str:
        """The citation as an entry of BibTeX."""
        key = hashlib.sha256(self.link.encode()).hexdigest()[:12]
        fields = {
            "title": f"{{{_tex(self.series)}, {rfc3339(self.start)} until {rfc3339(self.end)}}}",
            "author": "{{Cloudflare Radar}}",
            "year": f"{{{self.as_of.year}}}",
            "url": f"{{{self.link}}}",
            "urldate": f"{{{self.as_of:%Y-%m-%d}}}",
            "note": f"{{{_tex(self.sentence.removesuffix(' ' + self.link))}}}",
        }
        lines = ",\n".join(f"  {name} = {text}" for name, text in fields.items())
        return f"@misc{{radar-{key},\n{lines}\n}}"


def _amount(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else number_text(value)


def _tex(text: str) -> str:
    return text.translate(_SPECIAL)


def cite(view: ReadView, chosen: PointQuery, as_of: datetime, address: str = "") -> Citation:
    """Return the citation of the one series of *chosen*; its value is the one that was known at *as_of*.

    *address* is the public address of this server, with or without a slash at the end. Raises UsageError for an unknown
    series, RequestRefused if its values cannot be added up, CollectorError if nothing is known of the range.
    """
    chosen = replace(chosen, as_of=as_of)
    found = scopes(view, chosen)
    if not found:
        rows, name = [row for row in view.list_series() if row.active], chosen.series[0]
        if own := [row.label for row in rows if row.profile == name]:
            raise UsageError(f"{name!r} is a profile of {len(own)} series; cite one of them, such as {own[0]!r}")
        known = sorted(row.label for row in rows)
        raise UsageError(f"there is no series {name!r}{did_you_mean(name, known)}; `collector series` lists them")
    scope = found[0]
    series, (total,) = scope.series[0], ranges.totals(_alone(scope), (scope.start, scope.end))
    if total.refused:
        reason = f"{series.label}: {total.refused}"
        if scope.expected != 1:
            raise RequestRefused(reason, f"one bucket of {series.agg_interval}, with --start and --end")
        (column,) = _alone(scope).totals((scope.start, scope.end))
        total = replace(total, value=column.values[0], refused=None)
    if total.value is None:
        raise CollectorError(
            f"nothing is known of {series.label} from {span_text((scope.start, scope.end))} at {rfc3339(as_of)}"
        )
    updated = view.as_of(as_of).last_updated([series.series_id]).get(series.series_id)
    return Citation(
        series=series.label,
        profile=series.profile,
        value=total.value,
        unit=series.unit,
        agg_interval=series.agg_interval.value,
        start=from_epoch(scope.start),
        end=from_epoch(scope.end),
        known=total.known,
        expected=total.expected,
        last_updated=series.snapshot.last_updated if series.snapshot else updated,
        as_of=as_of,
        counted=what_is_counted(series.query) if series.query else None,
        link=_link(scope, series.label, as_of, address),
    )


def _alone(scope: Scope) -> Scope:
    """Return the scope with its first series only."""
    return replace(scope, series=scope.series[:1])


def _link(scope: Scope, label: str, as_of: datetime, address: str) -> str:
    times = {"start": from_epoch(scope.start), "end": from_epoch(scope.end), "as_of": as_of}
    query = {"series": label, **{name: rfc3339(moment) for name, moment in times.items()}}
    return f"{address.rstrip('/')}/api/v1/stats?{urlencode(query, quote_via=quote, safe=':')}"
