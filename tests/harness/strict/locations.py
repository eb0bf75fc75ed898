"""Where the strict checker looks for meta and the series of an answer, when they are not where they are documented.

All these places are open: an answer that has something in one of them may be read from there, or refused.
"""

from tests.harness.strict.json_parser import need
from tests.harness.strict.scalars import NamedBy, is_moment, letters

_TIMES = ("timestamps", "timestamp", "times", "time", "dates", "date")
_NUMBERS = ("values", "value", "counts", "count")
_DEEPER = {"result", "data", "series", "timeseries"}


def result_of(document, open_):
    """Return the object that holds meta and the series; Rejected if there is none."""
    need(isinstance(document, dict) and document.get("success") is not False, "no success")
    if document.get("success", True) is not True:
        open_("success is neither true nor false")
    if "success" not in document and document.get("errors"):
        open_("errors, and no word of success")
    result = document.get("result")
    if "result" not in document:
        open_("no envelope")
        result = document
    if isinstance(result, list) and len(result) == 1:
        open_("a list of one result")
        result = result[0]
    need(isinstance(result, dict), "no result")
    if "meta" in document and "meta" not in result:
        open_("meta beside result")
        result = {**result, "meta": document["meta"]}
    return result


def elsewhere(result, names, open_):
    """Return (meta, {name: {timestamps, values}}) of what is not where it is documented."""
    open_("not the documented places")
    meta, inside = None, result
    for _ in range(4):
        about = NamedBy(inside)
        meta = meta if meta is not None else about.get("meta", "metadata")
        series = _right_inside(inside, names)
        if series:
            return (meta if meta is not None else inside_all(series)), series
        deeper = [one for name, one in inside.items() if letters(name) in _DEEPER and one]
        if len(deeper) != 1 or has_name(inside, names):
            break
        inside = _opened(deeper[0], names)
    return meta, {}


def has_name(content, names):
    """Return whether something in *content* has one of *names*, however it is spelt."""
    return bool({*map(letters, content)} & {*map(letters, names)})


def inside_all(series):
    """Return the meta that stands in all series alike."""
    found = [NamedBy(one).get("meta", "metadata") for one in series.values()]
    return found[0] if all(one == found[0] for one in found) else None


def _opened(content, names):
    if isinstance(content, dict):
        return content
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        return {}
    called = [one.get("name") for one in content]
    if all(isinstance(name, str) for name in called) and len({*called}) == len(called):
        return dict(zip(called, content, strict=True))
    if len(content) > 1:
        return {}
    if len(names) == 1 and called == [None] and as_series(content[0]):
        return {names[0]: content[0]}
    return content[0]


def _right_inside(inside, names):
    others = {name: one for name, one in inside.items() if letters(name) not in {"meta", "metadata"}}
    arrays = {"timestamps", "values"}
    documented = {name: one for name, one in others.items() if isinstance(one, dict) and arrays & {*one}}
    documented = {name: one for name, one in documented.items() if arrays <= {*one} or not has_name(one, names)}
    if documented and (has_name(documented, names) or not has_name(others, names)):
        return {name: as_series(one) or one for name, one in documented.items()}
    times, numbers = _column(inside, _TIMES), _column(inside, _NUMBERS)
    wanted = {*map(letters, names)}
    if isinstance(times, list):
        if isinstance(numbers, list) and len(names) == 1:
            return {names[0]: {"timestamps": times, "values": numbers}}
        beside = {name: one for name, one in inside.items() if letters(name) in wanted and isinstance(one, list)}
        return {name: {"timestamps": times, "values": one} for name, one in beside.items()}
    found = {name: as_series(one) for name, one in others.items()}
    found = {name: one for name, one in found.items() if one}
    if has_name(others, names):
        return {name: one for name, one in found.items() if letters(name) in wanted}
    return found


def _column(content, names):
    if names[0] in content:
        return content[names[0]]
    for wanted in (names[:1], names):
        found = [one for name, one in content.items() if letters(name) in wanted]
        if len(found) == 1:
            return found[0]
    return None


def as_series(content, *, deeper=True):
    """Return {timestamps, values} of a series in any form; None for anything else."""
    if isinstance(content, list):
        return _records(content)
    if not isinstance(content, dict):
        return None
    times, numbers = _column(content, _TIMES), _column(content, _NUMBERS)
    if isinstance(times, list) and isinstance(numbers, list):
        return {**content, "timestamps": times, "values": numbers}
    inner = NamedBy(content).get("data", "points")
    if inner is not None and deeper:
        series = as_series(inner, deeper=False)
        return series and {**content, **series}
    points = {name: one for name, one in content.items() if letters(name) not in {"meta", "metadata", "name"}}
    if points and all(map(is_moment, points)):
        return {**content, "timestamps": [*points], "values": [*points.values()]}
    return None


def _records(content):
    if not content:
        return None
    if isinstance(content[0], list):
        pairs = [tuple(one) if isinstance(one, list) and len(one) > 1 else None for one in content]
        pairs = None if len(content[0]) != 2 or None in pairs else [pair[:2] for pair in pairs]
    else:
        pairs = _of_objects(content)
    if pairs is None or not (pairs[0][0] is None or is_moment(pairs[0][0])):
        return None
    return {"timestamps": [one[0] for one in pairs], "values": [one[1] for one in pairs]}


def _of_objects(content):
    if not all(isinstance(one, dict) for one in content):
        return None
    names = [[name for name in content[0] if letters(name) in allowed] for allowed in (_TIMES, _NUMBERS)]
    if any(len(found) != 1 or any(found[0] not in one for one in content) for found in names):
        return None
    return [(one[names[0][0]], one[names[1][0]]) for one in content]
