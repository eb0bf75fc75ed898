"""The dashboard of the stored history, for the data sources PostgreSQL and SQLite of Grafana.

Both read the view `history`. The statements differ in how they write a moment, which `Dialect` says. Grafana replaces
the macros (`$__…`) and the variables (`$interval`, `${series:sqlstring}`) before it sends a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.interval import AggInterval
from collector.report.grafana.panels import arranged, dashboard, panel, source_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.report.grafana.panels import Panel

_MONDAY = 345_600
"""The first Monday of the epoch: with it, steps of whole weeks begin on Mondays and shorter ones where they should."""
_WEEK = 604_800
_PERCENTAGE = "normalization = 'PERCENTAGE'"
_GAP_IN_THE_LINE = {"spanNulls": False, "showPoints": "auto", "lineInterpolation": "linear"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How statements for one kind of data source are written.

    *epoch* is a moment in seconds, *moment* the time of a number of seconds; *start* and *end* are the shown range in
    seconds. *shown* is the condition that a moment is in the range, *overlaps* that the time between two moments is.
    *time_end* is the column in which an annotation ends.
    """

    source: str
    greatest: str
    epoch: str
    moment: str
    start: str
    end: str
    shown: str
    overlaps: str
    time_end: str


DIALECTS = {
    "postgresql": Dialect(
        source="grafana-postgresql-datasource",
        greatest="greatest",
        epoch="extract(epoch FROM {})::bigint",
        moment="to_timestamp({})",
        start="$__unixEpochFrom()",
        end="$__unixEpochTo()",
        shown="{} BETWEEN to_timestamp($__unixEpochFrom() - {}) AND to_timestamp($__unixEpochTo() - {})",
        overlaps="{} <= to_timestamp($__unixEpochTo()) AND {} >= to_timestamp($__unixEpochFrom())",
        time_end="timeend",
    ),
    "sqlite": Dialect(
        source="frser-sqlite-datasource",
        greatest="max",
        epoch="{}",
        moment="{}",
        start="$__from / 1000",
        end="$__to / 1000",
        shown="{} BETWEEN $__from / 1000 - {} AND $__to / 1000 - {}",
        overlaps="{} <= $__to / 1000 AND {} >= $__from / 1000",
        time_end="timeEnd",
    ),
}

_SECONDS = (
    "CASE s.agg_interval " + " ".join(f"WHEN '{interval}' THEN {interval.seconds}" for interval in AggInterval) + " END"
)
_LABELS = "FROM labels l JOIN series s ON s.id = l.series_id"
_INTERVALS = f"SELECT DISTINCT s.agg_interval AS __text, {_SECONDS} AS __value {_LABELS} ORDER BY 2"
_PROFILES = f"SELECT DISTINCT l.profile {_LABELS} WHERE {_SECONDS} = $interval ORDER BY 1"
_SERIES = f"""\
SELECT DISTINCT l.label {_LABELS}
WHERE {_SECONDS} = $interval AND l.profile IN (${{profile:sqlstring}}) ORDER BY 1"""
_CHOSEN = "profile IN (${profile:sqlstring}) AND series IN (${series:sqlstring})"


def history_dashboard(backend: str) -> str:
    """Return the dashboard of a store as JSON. *backend* is `sqlite` or `postgresql`."""
    dialect = DIALECTS[backend]
    source = {"type": dialect.source, "uid": "${datasource}"}
    counts, shares = _line(dialect, f"NOT {_PERCENTAGE}"), _line(dialect, _PERCENTAGE)
    panels = [
        _graph(dialect, "History", counts, "short", 11),
        _graph(dialect, "A week earlier", _line(dialect, f"NOT {_PERCENTAGE}", earlier=True), "short", 9),
        _graph(dialect, "Shares", shares, "percent", 9),
        _table(dialect, "Gaps: buckets that are not stored", _gaps(dialect), ["starts", "ends"]),
        _table(dialect, "Revised values", _revised(dialect), ["timestamp", "replaced_at"]),
    ]
    variables = [source_variable(dialect.source), *_variables(source)]
    marks = [
        _annotation(dialect, "Cloudflare", _cloudflare(dialect), "orange", source),
        _annotation(dialect, "Own marks", _marks(dialect), "blue", source),
    ]
    title = "Certificate transparency, from Cloudflare Radar"
    return dashboard(title, "radar-history", arranged(panels, source), variables, marks)


def _line(dialect: Dialect, condition: str, *, earlier: bool = False) -> str:
    """Write the statement of a chart: one value for each step of the time axis and series, NULL where none is stored.

    A step has a whole number of buckets, as many as the width of the chart needs.
    """
    start, end, shift = dialect.start, dialect.end, _WEEK if earlier else 0
    shown = dialect.shown.format("timestamp", shift, shift)
    step_start = f"({{}} - {_MONDAY}) / step * step + {_MONDAY}"
    bucket = f"({dialect.epoch.format('timestamp')} + {shift})"
    return f"""\
WITH RECURSIVE width(step) AS (
  SELECT ({dialect.greatest}(1, $step, $__interval_ms / 1000) + $interval - 1) / $interval * $interval
), grid(start) AS (
  SELECT {step_start.format(start)} FROM width
  UNION ALL SELECT start + step FROM grid, width WHERE start + step <= {end}
), steps AS (
  SELECT series, unit, {step_start.format(bucket)} AS start, $aggregate(value) AS value FROM history, width
  WHERE {shown} AND {_CHOSEN} AND {condition} GROUP BY 1, 2, 3
), names AS (SELECT DISTINCT series, unit FROM steps)
SELECT {dialect.moment.format("g.start")} AS time,
  n.series || CASE n.unit WHEN '*' THEN '' ELSE ' in ' || n.unit END AS metric, s.value AS value
FROM grid g CROSS JOIN names n
LEFT JOIN steps s ON s.start = g.start AND s.series = n.series AND s.unit = n.unit ORDER BY 1, 2"""  # noqa: S608 - our own text


def _gaps(dialect: Dialect) -> str:
    before, after = dialect.epoch.format("before"), dialect.epoch.format("timestamp")
    return f"""\
SELECT series, {dialect.moment.format(f"{before} + $interval")} AS starts, timestamp AS ends,
  ({after} - {before}) / $interval - 1 AS buckets
FROM (SELECT series, timestamp, lag(timestamp) OVER (PARTITION BY profile, series ORDER BY timestamp) AS before
  FROM history WHERE {dialect.shown.format("timestamp", 0, 0)} AND {_CHOSEN}) AS points
WHERE {after} - {before} > $interval ORDER BY 2 DESC, 1 LIMIT 1000"""  # noqa: S608 - our own text


def _revised(dialect: Dialect) -> str:
    return f"""\
SELECT r.timestamp AS timestamp, l.label AS series, r.value AS was, r.replaced_at AS replaced_at
FROM revisions r JOIN labels l USING (series_id)
WHERE {dialect.shown.format("r.timestamp", 0, 0)}
  AND l.profile IN (${{profile:sqlstring}}) AND l.label IN (${{series:sqlstring}})
ORDER BY r.replaced_at DESC LIMIT 1000"""  # noqa: S608 - our own text


def _cloudflare(dialect: Dialect) -> str:
    """Write the statement of Cloudflare's annotations, without those that later answers no longer had."""
    return f"""\
SELECT a.start_date AS time, a.end_date AS {dialect.time_end}, coalesce(a.description, a.event_type) AS text,
  a.event_type AS tags FROM annotations a
WHERE {dialect.overlaps.format("a.start_date", "coalesce(a.end_date, a.start_date)")}
  AND NOT EXISTS (SELECT 1 FROM withdrawals w WHERE w.annotation_id = a.id AND w.returned_at IS NULL)
ORDER BY 1"""  # noqa: S608 - our own text


def _marks(dialect: Dialect) -> str:
    return f"""\
SELECT m.start_date AS time, m.end_date AS {dialect.time_end}, m.text AS text FROM marks m
WHERE {dialect.overlaps.format("m.start_date", "coalesce(m.end_date, m.start_date)")} ORDER BY 1"""  # noqa: S608 - our own text


def _variables(source: Panel) -> list[Panel]:
    """Return the choices above the charts. Each narrows those after it, so that intervals are never mixed."""
    steps = {"auto": 0, "hour": 3600, "day": 86_400, "week": _WEEK}
    several = {"multi": True, "includeAll": True, "current": {"text": ["All"], "value": ["$__all"]}}
    return [
        _query("interval", "Interval", _INTERVALS, source),
        {**_query("profile", "Profile", _PROFILES, source), **several},
        {**_query("series", "Series", _SERIES, source), **several},
        _choice("step", "Step", ",".join(f"{name} : {seconds}" for name, seconds in steps.items()), ("auto", "0")),
        _choice("aggregate", "Value of a step", "mean : avg,largest : max,smallest : min", ("mean", "avg")),
    ]


def _query(name: str, label: str, query: str, source: Panel) -> Panel:
    return {"type": "query", "name": name, "label": label, "datasource": source, "query": query, "refresh": 1}


def _choice(name: str, label: str, query: str, current: tuple[str, str]) -> Panel:
    chosen = {"text": current[0], "value": current[1]}
    return {"type": "custom", "name": name, "label": label, "query": query, "current": chosen}


def _target(dialect: Dialect, statement: str, times: Sequence[str], *, lines: bool) -> Panel:
    """Return the query of a panel. *times* are the columns with times, which SQLite stores as numbers."""
    if dialect is DIALECTS["postgresql"]:
        return {
            "rawSql": statement,
            "format": "time_series" if lines else "table",
            "rawQuery": True,
            "editorMode": "code",
        }
    kind = "time series" if lines else "table"
    return {"queryText": statement, "rawQueryText": statement, "queryType": kind, "timeColumns": list(times)}


def _graph(dialect: Dialect, title: str, statement: str, unit: str, height: int) -> Panel:
    targets = [_target(dialect, statement, ["time"], lines=True)]
    return panel("timeseries", title, targets, unit, (24, height), _GAP_IN_THE_LINE)


def _table(dialect: Dialect, title: str, statement: str, times: Sequence[str]) -> Panel:
    return panel("table", title, [_target(dialect, statement, times, lines=False)], "short", (12, 8))


def _annotation(dialect: Dialect, name: str, statement: str, colour: str, source: Panel) -> dict[str, Any]:
    target = {"refId": "Anno", **_target(dialect, statement, ["time", dialect.time_end], lines=False)}
    return {"name": name, "datasource": source, "enable": True, "iconColor": colour, "target": target}
