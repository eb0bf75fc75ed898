"""Sentences about figures: what the values count, which may not be added up, and of which ranges nothing is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.analysis.refusals import why_overlapping
from collector.datasets import dataset_of
from collector.model import Normalization, known_spelling
from collector.report.analysis.scope import scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.model import Question
    from collector.profile import Profile
    from collector.store import PointQuery, ReadView, SelectedSeries


def what_is_counted(query: Question) -> str | None:
    """Return what counts of *query* are counts of; None if nothing is known to count several times.

    Of a question with a dimension, that is what the counts of its groups are.
    """
    dataset = dataset_of(query)
    filters = dict(query.filters)
    if query.dimension:
        filters[dataset.dimensions[query.dimension].name] = (query.group,)
    if dataset.counts_once(filters):
        return f"unique {dataset.unit}: each counts once in a bucket, and again in later ones"
    repeats = dataset.repeats(filters)
    if not repeats:
        return None
    return f"entries, not {dataset.unit}: one of them may count {', and '.join(repeats)}"


def figure_notes(view: ReadView, chosen: PointQuery, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return sentences about *rows* of figures: the profiles of which nothing is known, and what counts count."""
    known = {row["profile"] for row in rows if row["known"]}
    selected = view.selected(chosen)
    if known.issuperset(series.profile for series in selected):
        return counted_notes(selected)
    empty = [scope.why_empty for scope in scopes(view, chosen) if scope.profile not in known]
    return [note for note in empty if note] + counted_notes(selected)


def counted_notes(series: Iterable[SelectedSeries]) -> list[str]:
    """Return a sentence for each profile of *series* whose counts may be taken for something else."""
    first: dict[str, SelectedSeries] = {}
    for each in series:
        first.setdefault(each.profile, each)
    notes = []
    for profile, each in first.items():
        is_count = known_spelling(each.normalization) == Normalization.RAW_VALUES
        if is_count and each.query is not None and (text := what_is_counted(each.query)):
            notes.append(f"{profile} counts {text}")
    return notes


def why_profile_overlaps(profile: Profile) -> str | None:
    """Return why two series of *profile* may count one object twice; None if no two do."""
    queries = {series.label: series.query for series in profile.series}
    if profile.dimension:
        (query,) = queries.values()
        queries = {f"{name} group": replace(query, group=name) for name in ("one", "another")}
    return why_overlapping(queries)
