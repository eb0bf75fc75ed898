"""Documents about the catalogue that commands and routes share: lists, single entries, the known values of a filter."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from collector.datasets.catalogue import list_of_filter
from collector.errors import UsageError
from collector.report.names import NameIndex
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.datasets import Dataset, FilterParameter
    from collector.datasets.catalogue import CatalogueList, Item
    from collector.store import EntryVersion, KnownEntry, KnownValue, ListState, ReadView

    Document = dict[str, Any]

_ENTRY, _DETAILS = "entry", "details"
_MIN_PREFIX = 6
_MAX_ANSWERS = 5
MAX_WARNINGS = 20


class UnknownEntry(UsageError):
    """The catalogue has no such entry, or several; the text names the nearest."""


def list_documents(
    view: ReadView,
    known: CatalogueList,
    as_of: datetime | None = None,
    *,
    search: str | None = None,
    with_gone: bool = False,
) -> list[Document]:
    """Return the entries of a list as of a moment, by owner or operator and name.

    *search* is a part of a name, an owner or a slug. Entries that are gone are left out unless *with_gone*.
    """
    since = _states_since(view, known, as_of)
    entries = [entry for entry in view.catalogue_entries(known.name, as_of) if with_gone or entry.gone_at is None]
    documents = [_summary(known, entry, since) for entry in entries]
    if search:
        documents = [document for document in documents if _matches(document, search)]
    return sorted(documents, key=lambda document: (document["holder"] or "", document["name"] or "", document["slug"]))


def _summary(known: CatalogueList, entry: KnownEntry, since: Mapping[str, datetime]) -> Document:
    item, details = entry.item, entry.details or {}
    return {
        "slug": entry.slug,
        "name": _text(item.get(known.title_key)),
        "holder": _text(item.get("owner", item.get("operator"))),
        "state": _text(item.get(known.state_key)),
        "state_since": _text(item.get("stateTimestamp")),
        "state_seen_at": since.get(entry.slug, entry.first_seen),
        "trust": {key.removesuffix("Status"): _text(details.get(key)) for key in known.trust_keys},
        "first_seen": entry.first_seen,
        "changed_at": entry.changed_at,
        "gone_at": entry.gone_at,
        "entry": dict(item),
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _matches(document: Document, search: str) -> bool:
    return any(search.casefold() in (document[key] or "").casefold() for key in ("slug", "name", "holder"))


def _states_since(view: ReadView, known: CatalogueList, as_of: datetime | None) -> dict[str, datetime]:
    """Return since when the list has given each entry its present state."""
    since: dict[str, tuple[object, datetime]] = {}
    for version in view.catalogue_history(known.name, as_of, None, (_ENTRY,)):
        state = version.content.get(known.state_key)
        before = since.get(version.slug)
        if before is None or before[0] != state:
            since[version.slug] = (state, version.valid_from)
    return {slug: moment for slug, (_, moment) in since.items()}


def entry_document(view: ReadView, known: CatalogueList, text: str, as_of: datetime | None = None) -> Document:
    """Return one entry with its details and changes: by slug, by the beginning of a slug, or by name.

    Raises UnknownEntry if there is none, or if there are several.
    """
    slug = find_slug(view, known, text, as_of)
    (entry,) = view.catalogue_entries(known.name, as_of, slug)
    versions = view.catalogue_history(known.name, as_of, slug, (_ENTRY, _DETAILS))
    return _summary(known, entry, _states_since(view, known, as_of)) | {
        "details": dict(entry.details) if entry.details else None,
        "measures": dict(entry.measures) if entry.measures else None,
        "changes": _changes(versions),
    }


def find_slug(view: ReadView, known: CatalogueList, text: str, as_of: datetime | None = None) -> str:
    """Return the slug that *text* means. Raises UnknownEntry if there is none, or if there are several."""
    entries = view.catalogue_entries(known.name, as_of)
    if not entries:
        raise UnknownEntry(absence(view, known, as_of) or f"the list of {known.name} is empty")
    names = {entry.slug: _text(entry.item.get(known.title_key)) or "" for entry in entries}
    if text in names:
        return text
    word = text.casefold()
    matching = [slug for slug, name in names.items() if word in (slug.casefold(), name.casefold())]
    if not matching and len(word) >= _MIN_PREFIX:
        matching = [slug for slug in names if slug.casefold().startswith(word)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        shown = ", ".join(matching[:_MAX_ANSWERS]) + (" …" if len(matching) > _MAX_ANSWERS else "")
        raise UnknownEntry(f"several {known.name} match {text!r}: {shown}")
    nearest = NameIndex([*names, *filter(None, names.values())]).nearest(text)
    nearest = nearest or [slug for slug, name in names.items() if word in slug.casefold() or word in name.casefold()]
    nearest = nearest[:_MAX_ANSWERS]
    near = "; nearest: " + ", ".join(f'"{name}"' for name in nearest) if nearest else ""
    raise UnknownEntry(f"the catalogue has no {known.noun} {text!r}{near}; `collector {known.name}` lists all")


def _changes(versions: Iterable[EntryVersion]) -> list[Document]:
    """Return what changed and when: `listed`, `gone`, or `changed` with the key and both values."""
    by_part: dict[str, list[EntryVersion]] = defaultdict(list)
    for version in versions:
        by_part[version.part].append(version)
    changes = [_change(by_part[_ENTRY][0].valid_from, "listed")] if by_part[_ENTRY] else []
    for part in (_ENTRY, _DETAILS):
        for before, after in pairwise(by_part[part]):
            if part == _ENTRY and before.valid_to and before.valid_to < after.valid_from:
                changes += [_change(before.valid_to, "gone"), _change(after.valid_from, "listed")]
            changes += _changed_keys(before.content, after.content, after.valid_from, known=by_part[_ENTRY], part=part)
    if by_part[_ENTRY] and (end := by_part[_ENTRY][-1].valid_to):
        changes.append(_change(end, "gone"))
    return sorted(changes, key=lambda change: (change["at"], change["key"] or ""))


def _changed_keys(
    before: Item, after: Item, moment: datetime, *, known: Sequence[EntryVersion], part: str
) -> list[Document]:
    """Return the changes between two versions; those of the details without what the list says, too."""
    listed = {key for version in known for key in version.content} if part == _DETAILS else set()
    keys = [key for key in dict.fromkeys([*before, *after]) if key not in listed and before.get(key) != after.get(key)]
    return [_change(moment, "changed", key, before.get(key), after.get(key)) for key in keys]


def _change(at: datetime, change: str, key: str | None = None, old: Any = None, new: Any = None) -> Document:
    return {"at": at, "change": change, "key": key, "old": old, "new": new}


def absence(view: ReadView, known: CatalogueList, as_of: datetime | None = None) -> str | None:
    """Return why nothing is known of a list as of a moment, with the next step; None if it was collected by then."""
    since = view.catalogue_since(known.name)
    if since is None:
        return (
            f"the list of {known.name} has not been collected yet: `collector {known.name} --refresh` reads it now; "
            "the service and `collector collect` read it once a day, unless catalogue.enabled is false"
        )
    if as_of is not None and as_of < since:
        return (
            f"the list of {known.name} was first collected at {rfc3339(since)}; nothing is known about the time before"
        )
    return None


def value_documents(
    view: ReadView, dataset: Dataset, parameter: FilterParameter, as_of: datetime | None = None
) -> list[Document]:
    """Return the known values of a filter, the largest newest count first.

    They are known by the contract, by the lists, and by series.
    """
    series = {value.name: value for value in view.known_values(dataset.name, parameter.name, as_of)}
    known = list_of_filter(parameter.name)
    listed = _listed(view, known, parameter.name, as_of, series) if known else {}
    names = dict.fromkeys([*parameter.values, *listed, *series])
    documents = [_value(name, parameter, listed.get(name), series.get(name)) for name in names]
    return sorted(documents, key=lambda document: -(document["volume"] or 0.0))


def _listed(
    view: ReadView,
    known: CatalogueList,
    filter_name: str,
    as_of: datetime | None,
    series: Mapping[str, KnownValue],
) -> dict[str, tuple[datetime, datetime | None]]:
    """Return the names of a list for a filter, each with when it was first listed and since when it is gone.

    An entry with several names has the one that a series knows, or the first.
    """
    spans: dict[str, tuple[datetime, datetime | None]] = {}
    for entry in view.catalogue_entries(known.name, as_of):
        names = known.names(entry.item, filter_name)
        name = next((name for name in names if name in series), names[0] if names else None)
        if name is not None:
            first, gone = spans.get(name, (entry.first_seen, entry.gone_at))
            is_gone = gone is not None and entry.gone_at is not None
            spans[name] = (min(first, entry.first_seen), max(gone, entry.gone_at) if is_gone else None)  # type: ignore[type-var]
    return dict(sorted(spans.items()))


def _value(
    name: str,
    parameter: FilterParameter,
    listed: tuple[datetime, datetime | None] | None,
    series: KnownValue | None,
) -> Document:
    sources = {"contract": name in parameter.values, "catalogue": listed is not None, "series": series is not None}
    return {
        "value": name,
        "known_by": [source for source, holds in sources.items() if holds],
        "volume": series.volume if series else None,
        "share": series.share if series else None,
        "bucket": series.bucket if series else None,
        "agg_interval": series.agg_interval.value if series else None,
        "first_seen": series.first_seen if series else None,
        "last_seen": series.last_seen if series else None,
        "listed_since": listed[0] if listed else None,
        "listed_until": listed[1] if listed else None,
    }


def state_documents(states: Sequence[ListState]) -> list[Document]:
    """Return the state of the collection of each list."""
    return [
        {
            "list": state.name,
            "entries": state.entries,
            "with_details": state.detailed,
            "collected_since": state.collected_since,
            "last_success": state.success,
            "failures": state.failures,
            "asked_again_at": state.again,
            "reason": state.reason,
            "note": state.note,
        }
        for state in states
    ]


def state_warnings(states: Sequence[ListState]) -> list[str]:
    """Return a sentence for each list whose last reading failed or was not whole."""
    warnings = []
    for state in states:
        if state.failures and state.reason:
            again = f"; it is read again at {rfc3339(state.again.replace(microsecond=0))}" if state.again else ""
            warnings.append(f"catalogue: the list of {state.name} could not be read: {state.reason}{again}")
        elif state.note:
            warnings.append(f"catalogue: the list of {state.name}: {state.note}")
    return warnings


def shortened(warnings: Sequence[str]) -> list[str]:
    """Return the first warnings about names, and how many more there are."""
    more = len(warnings) - MAX_WARNINGS
    rest = [f"{more} more names are unknown to the catalogue; `collector config check` lists all"] if more > 0 else []
    return [*warnings[:MAX_WARNINGS], *rest]
