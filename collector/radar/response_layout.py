"""Find meta and the series in the result of an answer.

They are taken from the documented place, or from one of the usual alternatives. A place that is ambiguous is not used:
then the series counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from collector.radar.response_deviations import Deviations
from collector.radar.response_points import folded, member, parse_answer_time, parse_span, unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Content = Mapping[str, Any]

_TIMESTAMPS = ("timestamps", "timestamp", "times", "time", "dates", "date")
_VALUES = ("values", "value", "counts", "count")
_ARRAYS = frozenset({"timestamps", "values"})
_META = ("meta", "metadata")
_INSIDE = ("result", "data", "series", "timeseries")
_GROUPS_INSIDE = frozenset({"groups", "values", "series", "data", "counts"})
_BESIDE_POINTS = frozenset({*_META, "name"})
_MAX_DEPTH = 4


def arrange(result: Content, names: Sequence[str], deviations: Deviations) -> tuple[Any, dict[str, Any]]:
    """Return meta (None if there is none) and the series of *result* by name, in their order.

    *names* are the requested names. A series of the documented form may lack one of its arrays.
    """
    return _search(result, names, _Form(_series_of, _as_series), deviations)


def arrange_groups(result: Content, names: Sequence[str], deviations: Deviations) -> tuple[Any, dict[str, Any]]:
    """Return meta and the series by name, as `arrange`, where each has `timestamps` and an array for each group."""
    if any(isinstance(content, dict) and _is_no_series(key, content) for key, content in result.items()):
        deviations.note("an object beside the series has no timestamps")
    return _search(result, names, _Form(_grouped_series_of, _as_grouped), deviations)


class _Form(NamedTuple):
    """How series are found in an object, and how one is read."""

    series_of: Callable[[Content, Sequence[str]], dict[str, Any]]
    as_series: Callable[[Any], Content | None]


def _search(result: Content, names: Sequence[str], form: _Form, deviations: Deviations) -> tuple[Any, dict[str, Any]]:
    """Search the series in *result* and in the objects inside of it that usually hold them."""
    meta = member(result, *_META)
    if meta is not None and "meta" not in result:
        deviations.note("meta is called otherwise")
    container: Any = result
    for depth in range(_MAX_DEPTH):
        series = form.series_of(container, names)
        if series:
            if depth:
                deviations.note("series stand deeper in the document than usual")
            if any(content is not container.get(key) for key, content in series.items()):
                deviations.note("series are arranged otherwise than in arrays of timestamps and values")
            return _meta_inside(series, deviations) if meta is None else meta, series
        inner = [content for key, content in container.items() if folded(key) in _INSIDE and content]
        if len(inner) != 1 or _asked(container, names):
            break
        container = _by_names(inner[0], names, form) or sole_object(inner[0]) or {}
        meta = member(container, *_META) if meta is None else meta
    return meta, {}


def sole_object(content: Any) -> Content | None:
    """Return an object, or the single object of a list; None for anything else."""
    inner = content[0] if isinstance(content, list) and len(content) == 1 else content
    return inner if isinstance(inner, dict) else None


def holds_series(content: Content) -> bool:
    """Return whether *content* contains a series of any name."""
    return any(
        isinstance(_column(content, _TIMESTAMPS), list) or search(content, (), Deviations())[1]
        for search in (arrange, arrange_groups)
    )


def _by_names(content: Any, names: Sequence[str], form: _Form) -> Content:
    """Return the series of a list by their `name` keys; a single series needs no name."""
    if not isinstance(content, list) or not all(isinstance(series, dict) for series in content):
        return {}
    called = [member(series, "name") for series in content]
    if called == [None] == [None] * len(names) and form.as_series(content[0]) is not None:
        called = [*names]
    if not all(isinstance(name, str) for name in called) or len({*called}) < len(called):
        return {}
    return dict(zip(called, content, strict=True))


def _meta_inside(series: Content, deviations: Deviations) -> Any:
    """Return the meta inside the series if all of them have the same; otherwise None."""
    inside = [member(content, *_META) for content in series.values()]
    if any(meta is None for meta in inside) or any(meta != inside[0] for meta in inside):
        return None
    deviations.note("meta stands inside of the series")
    return inside[0]


def _series_of(container: Content, names: Sequence[str]) -> dict[str, Any]:
    """Return the series directly inside *container*, in the documented form.

    Other forms count only if no series has the documented form. Unexpected names count only if no series has an
    expected name, because a table or list of something else may be beside the series; one that differs from a
    requested name in its number alone always counts.
    """
    candidates = {key: content for key, content in container.items() if folded(key) not in _META}
    halves = {
        key: content for key, content in candidates.items() if isinstance(content, dict) and _is_half(content, names)
    }
    documented = {
        key: content if {*content} >= _ARRAYS else _as_series(content) or content for key, content in halves.items()
    }
    requested = _asked(candidates, names)
    if documented and (not requested or not requested.isdisjoint(documented)):
        return documented
    shared = _column(container, _TIMESTAMPS)
    if isinstance(shared, list):
        return _columns(container, shared, names)
    series = {key: _as_series(candidates[key]) for key in (requested and _alike(candidates, names)) or candidates}
    return {key: content for key, content in series.items() if content is not None}


def _is_half(content: Content, names: Sequence[str]) -> bool:
    """Return whether *content* has an array of a series; not if it holds the series beside shared timestamps."""
    return {*content} >= _ARRAYS or not (_ARRAYS.isdisjoint(content) or _asked(content, names))


def _asked(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that are requested names, in any spelling."""
    requested = {*map(folded, names)}
    return {key for key in content if folded(key) in requested}


def _alike(content: Content, names: Sequence[str]) -> set[str]:
    """Return the keys of *content* that differ from a requested name in spelling or number only."""
    requested = {_without_number(name) for name in names}
    return {key for key in content if _without_number(key) in requested}


def _without_number(name: str) -> str:
    return folded(name).rstrip("0123456789")


def _columns(container: Content, timestamps: list[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return series for timestamps that occur once beside the values of every series, or of the only series."""
    values = _column(container, _VALUES)
    if isinstance(values, list) and len(names) == 1:
        return {names[0]: {"timestamps": timestamps, "values": values}}
    alike = _alike(container, names) if _asked(container, names) else set()
    columns = {key: values for key, values in container.items() if key in alike}
    return {
        key: {"timestamps": timestamps, "values": values} if isinstance(values, list) else values
        for key, values in columns.items()
        if isinstance(values, list | dict)  # an object is a series too many, which rejects the answer
    }


def _as_series(content: Any, depth: int = 0) -> Content | None:
    """Return *content* in the form of a series; None if it is no series."""
    if isinstance(content, list):
        return _of_records(content)
    if not isinstance(content, dict):
        return None
    timestamps, values = _column(content, _TIMESTAMPS), _column(content, _VALUES)
    if isinstance(timestamps, list) and isinstance(values, list):
        return {**content, "timestamps": timestamps, "values": values}
    inner = member(content, "data", "points")
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
    matches = first if len(first) == 1 else [inner for key, inner in content.items() if folded(key) in names]
    return matches[0] if len(matches) == 1 else None


def _of_records(content: list[Any]) -> Content | None:
    """Parse [[timestamp, value], …] or [{"timestamp": …, "value": …}, …]; None if the first entry has neither form."""
    places = _places(content[0]) if content else None
    if places is None or not _is_time(content[0][places[0]]):
        return None
    at, of = places
    try:
        return {"timestamps": [record[at] for record in content], "values": [record[of] for record in content]}
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
    matches = [key for key in record if folded(key) in names]
    return matches[0] if len(matches) == 1 else None


def _of_mapping(content: Content) -> Content | None:
    """Parse {timestamp: value, …}; meta and a name may be beside the points."""
    points = {key: value for key, value in content.items() if folded(key) not in _BESIDE_POINTS}
    if not points or any(parse_answer_time(key) is None for key in points):
        return None
    return {**content, "timestamps": [*points], "values": [*points.values()]}


def _is_no_series(key: str, content: Content) -> bool:
    return folded(key) not in _META and _time_key(content) is None


def _grouped_series_of(container: Content, names: Sequence[str]) -> dict[str, Any]:
    """Return the series with groups directly inside *container*; the container itself may be the only one."""
    candidates = {key: content for key, content in container.items() if folded(key) not in _META}
    requested = _asked(candidates, names)
    found = {key: _as_grouped(content) for key, content in candidates.items() if isinstance(content, dict)}
    series: dict[str, Any] = {key: content for key, content in found.items() if content is not None}
    if series and (not requested or not requested.isdisjoint(series)):
        return series
    if len(names) == 1 and not requested and (only := _as_grouped(candidates)) is not None:
        return {names[0]: only}
    shared = _column(container, _TIMESTAMPS)
    if isinstance(shared, list):
        return {key: {_TIMESTAMPS[0]: shared, **candidates[key]} for key in requested if _holds_groups(candidates[key])}
    lists = {key: _as_grouped(candidates[key]) for key in requested}
    return {key: content for key, content in lists.items() if content is not None}


def _as_grouped(content: Any, depth: int = 0) -> Content | None:
    """Return *content* as `timestamps` and an array for each group; None if it has no timestamps."""
    if isinstance(content, list):
        return _of_group_records(content)
    if not isinstance(content, dict):
        return None
    key = _time_key(content)
    if key is not None:
        return _with_arrays(content, key)
    inner = member(content, "data", "points")
    if inner is not None:
        return _as_grouped(inner, depth + 1) if depth == 0 else None
    return _of_group_mapping(content)


def _with_arrays(content: Content, time_key: str) -> Content | None:
    """Return the timestamps and the arrays of the groups, which may stand one step deeper; None if both have arrays."""
    arrays = {key: inner for key, inner in content.items() if key != time_key}
    deeper = [key for key, inner in arrays.items() if folded(key) in _GROUPS_INSIDE and _holds_groups(inner)]
    beside = any(isinstance(inner, list) and key not in deeper for key, inner in arrays.items())
    if len(deeper) == 1 and not beside:
        arrays |= _groups_of(arrays.pop(deeper[0]))
    elif deeper:
        return None
    elif time_key == _TIMESTAMPS[0]:
        return content
    return {_TIMESTAMPS[0]: content[time_key], **arrays}


def _holds_groups(content: Any) -> bool:
    """Return whether *content* is an object of arrays, or a list of objects with `name` and values."""
    if isinstance(content, dict):
        return any(isinstance(inner, list) for inner in content.values())
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        return False
    names = [entry.get("name") for entry in content]
    return bool(names) and all(isinstance(name, str) for name in names) and len({*names}) == len(names)


def _groups_of(content: Any) -> Content:
    """Return the arrays of groups by their names."""
    return content if isinstance(content, dict) else {entry["name"]: _column(entry, _VALUES) for entry in content}


def _time_key(content: Content) -> str | None:
    """Return the key of the array of timestamps; None if there is none, or several and none is the usual one."""
    if isinstance(content.get(_TIMESTAMPS[0]), list):
        return _TIMESTAMPS[0]
    arrays = {key: folded(key) for key, inner in content.items() if isinstance(inner, list)}
    first = [key for key, name in arrays.items() if name == _TIMESTAMPS[0]]
    matches = first or [key for key, name in arrays.items() if name in _TIMESTAMPS]
    return matches[0] if len(matches) == 1 else None


def _of_group_mapping(content: Content) -> Content | None:
    """Parse {timestamp: {GROUP: value, …}, …}; meta and a name may be beside the points."""
    points = {key: inner for key, inner in content.items() if folded(key) not in _BESIDE_POINTS}
    if not points or not all(isinstance(inner, dict) and parse_answer_time(key) for key, inner in points.items()):
        return None
    return _of_group_records([{_TIMESTAMPS[0]: key, **inner} for key, inner in points.items()])


def _of_group_records(content: list[Any]) -> Content | None:
    """Parse [{"timestamp": …, GROUP: value, …}, …]; a group that a record lacks has no value there."""
    if not content or not all(isinstance(record, dict) for record in content):
        return None
    at = _key(content[0], _TIMESTAMPS)
    if at is None or not all(at in record and _is_time(record[at]) for record in content):
        return None
    groups = dict.fromkeys(name for record in content for name in record if name != at)
    return {_TIMESTAMPS[0]: [record[at] for record in content]} | {
        name: [record.get(name) for record in content] for name in groups
    }
