"""Where meta and the series are in a document: in the documented place, or in one of the usual alternatives.

The result has the documented form: `meta`, and for each series an object with `timestamps` and `values`. An ambiguous
place is not used: then the series counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.radar.deviations import Deviations
from collector.radar.scalars import folded, member, parse_answer_time, parse_span, unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Content = Mapping[str, Any]

_TIMESTAMPS = ("timestamps", "timestamp", "times", "time", "dates", "date")
_VALUES = ("values", "value", "counts", "count")
_ARRAYS = frozenset({"timestamps", "values"})
_META = ("meta", "metadata")
_INSIDE = ("result", "data", "series", "timeseries")
_BESIDE_POINTS = frozenset({*_META, "name"})
_DEEPEST = 4


def arrange(result: Content, names: Sequence[str], deviations: Deviations) -> tuple[Any, dict[str, Any]]:
    """Return meta (None if there is none) and the series of *result* by name, in their order.

    *names* are the requested names. A series of the documented form may lack one of its arrays.
    """
    meta = member(result, *_META)
    if meta is not None and "meta" not in result:
        deviations.note("meta is called otherwise")
    container: Any = result
    for depth in range(_DEEPEST):
        series = _series_of(container, names)
        if series:
            _note_place(depth, container, series, deviations)
            return _meta_of(meta, series, deviations), series
        inner = [content for key, content in container.items() if folded(key) in _INSIDE and content]
        if len(inner) != 1 or _asked(container, names):
            break
        container = _by_names(inner[0], names) or sole_object(inner[0]) or {}
        meta = member(container, *_META) if meta is None else meta
    return meta, {}


def sole_object(content: Any) -> Content | None:
    """Return an object, or the single object of a list; None for anything else."""
    one = content[0] if isinstance(content, list) and len(content) == 1 else content
    return one if isinstance(one, dict) else None


def holds_series(content: Content) -> bool:
    """Return whether *content* contains a series of any name."""
    return isinstance(_column(content, _TIMESTAMPS), list) or bool(arrange(content, (), Deviations())[1])


def _by_names(content: Any, names: Sequence[str]) -> Content:
    """Return the series of a list by their `name` keys; a single series needs no name."""
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        return {}
    called = [one.get("name") for one in content]
    if called == [None] == [None] * len(names) and _as_series(content[0]) is not None:
        called = [*names]
    if not all(isinstance(name, str) for name in called) or len({*called}) < len(called):
        return {}
    return dict(zip(called, content, strict=True))


def _note_place(depth: int, container: Content, series: Content, deviations: Deviations) -> None:
    if depth:
        deviations.note("series stand deeper in the document than usual")
    if any(one is not container.get(key) for key, one in series.items()):
        deviations.note("series are arranged otherwise than in arrays of timestamps and values")


def _meta_of(meta: Any, series: Content, deviations: Deviations) -> Any:
    """Return *meta*; if it is None, the meta inside the series if all of them have the same."""
    if meta is not None:
        return meta
    inside = [member(one, *_META) for one in series.values()]
    if any(one is None for one in inside) or any(one != inside[0] for one in inside):
        return None
    deviations.note("meta stands inside of the series")
    return inside[0]


def _series_of(container: Content, names: Sequence[str]) -> dict[str, Any]:
    """Return the series directly inside *container*, in the documented form.

    Other forms count only if no series has the documented form. Unexpected names count only if no series has an
    expected name, because a table or list of something else may be beside the series; one that differs from a
    requested name in its number alone always counts.
    """
    others = {key: content for key, content in container.items() if folded(key) not in _META}
    halves = {key: one for key, one in others.items() if isinstance(one, dict) and _is_half(one, names)}
    documented = {key: one if {*one} >= _ARRAYS else _as_series(one) or one for key, one in halves.items()}
    asked = _asked(others, names)
    if documented and (not asked or not asked.isdisjoint(documented)):
        return documented
    shared = _column(container, _TIMESTAMPS)
    if isinstance(shared, list):
        return _columns(container, shared, names)
    read = {key: _as_series(others[key]) for key in (asked and _alike(others, names)) or others}
    return {key: one for key, one in read.items() if one is not None}


def _is_half(content: Content, names: Sequence[str]) -> bool:
    """Return whether *content* has an array of a series; not if it holds the series beside shared timestamps."""
    return {*content} >= _ARRAYS or not (_ARRAYS.isdisjoint(content) or _asked(content, names))


def _asked(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that are requested names, in any spelling."""
    wanted = {*map(folded, names)}
    return {key for key in content if folded(key) in wanted}


def _alike(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that differ from a requested name in spelling or number only."""
    wanted = {_without_number(name) for name in names}
    return {key for key in content if _without_number(key) in wanted}


def _without_number(name: str) -> str:
    return folded(name).rstrip("0123456789")


def _columns(container: Content, timestamps: list[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return series for timestamps that occur once beside the values of every series, or of the only series."""
    values = _column(container, _VALUES)
    if isinstance(values, list) and len(names) == 1:
        return {names[0]: {"timestamps": timestamps, "values": values}}
    alike = _alike(container, names) if _asked(container, names) else set()
    columns = {key: one for key, one in container.items() if key in alike}
    return {key: {"timestamps": timestamps, "values": one} for key, one in columns.items() if isinstance(one, list)}


def _as_series(content: Any, depth: int = 0) -> Content | None:
    """Return *content* in the form of a series; None if it is no series."""
    if isinstance(content, list):
        return _of_records(content)
    if not isinstance(content, dict):
        return None
    timestamps, values = _column(content, _TIMESTAMPS), _column(content, _VALUES)
    if isinstance(timestamps, list) and isinstance(values, list):
        return {**content, "timestamps": timestamps, "values": values}
    inner = content.get("data", content.get("points"))
    if inner is not None and depth == 0:
        series = _as_series(inner, depth + 1)
        return None if series is None else {**content, **series}
    return _of_mapping(content)


def _column(content: Content, names: Sequence[str]) -> Any:
    """Return the value of the first of *names*; of one of the other names only if exactly one of them exists.

    The first one counts before the others in another spelling, too, if it occurs once.
    """
    if names[0] in content:
        return content[names[0]]
    first = [inner for key, inner in content.items() if folded(key) == names[0]]
    found = first if len(first) == 1 else [inner for key, inner in content.items() if folded(key) in names]
    return found[0] if len(found) == 1 else None


def _of_records(content: list[Any]) -> Content | None:
    """Parse [[timestamp, value], …] or [{"timestamp": …, "value": …}, …]; None if the first entry has neither form."""
    places = _places(content[0]) if content else None
    if places is None or not _is_time(content[0][places[0]]):
        return None
    at, of = places
    try:
        return {"timestamps": [one[at] for one in content], "values": [one[of] for one in content]}
    except (TypeError, LookupError):
        return None


def _places(record: Any) -> tuple[Any, Any] | None:
    """Return the keys or indices of timestamp and value in a record."""
    if isinstance(record, list):
        return (0, 1) if len(record) == 2 else None  # noqa: PLR2004 - a timestamp and a value
    keys = [_key(record, names) for names in (_TIMESTAMPS, _VALUES)] if isinstance(record, dict) else [None]
    return None if None in keys else (keys[0], keys[1])


def _is_time(content: Any) -> bool:
    is_span = isinstance(content, dict) and parse_span(content) is not None
    return content is None or is_span or parse_answer_time(unwrapped(content)) is not None


def _key(record: Content, names: Sequence[str]) -> str | None:
    found = [key for key in record if folded(key) in names]
    return found[0] if len(found) == 1 else None


def _of_mapping(content: Content) -> Content | None:
    """Parse {timestamp: value, …}; meta and a name may be beside the points."""
    points = {key: value for key, value in content.items() if folded(key) not in _BESIDE_POINTS}
    if not points or any(parse_answer_time(key) is None for key in points):
        return None
    return {**content, "timestamps": [*points], "values": [*points.values()]}
