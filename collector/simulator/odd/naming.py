"""Variations of how series are named, ordered and accompanied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.simulator.odd.variation import Draft, Variation

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Verdict

_OTHERS = {"info": {"total": 12}, "notes": ["x"], "summary_0": {"a": "1"}, "serie": None, "count": 3}
_GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def _named(name: Callable[[int], str]) -> Callable[[Draft], None]:
    """Give the series other names, by position."""

    def change(draft: Draft) -> None:
        names = {old: name(position) for position, old in enumerate(draft.names)}
        draft.document["result"] = {names.get(key, key): content for key, content in draft.result.items()}
        draft.names = [*names.values()]

    return change


def _only_of_one(name: str) -> Callable[[Draft], None]:
    """Give a name to the series if there is only one."""

    def change(draft: Draft) -> None:
        if len(draft.names) == 1:
            _named(lambda _: name)(draft)

    return change


def _ordered(arrange: Callable[[list[str]], list[str]]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        result = draft.result
        draft.document["result"] = {key: result[key] for key in arrange([*result])}

    return change


def _without_last(draft: Draft) -> None:
    if len(draft.names) > 1:
        del draft.result[draft.names.pop()]


def _one_more(draft: Draft) -> None:
    draft.result[f"serie_{len(draft.names)}"] = draft.result[draft.names[0]]


_NAMES: tuple[tuple[str, str, Verdict, str, Callable[[Draft], object]], ...] = (
    ("names-title", "as Serie_0", "take", "series.names", _named(lambda n: f"Serie_{n}")),
    ("names-upper", "as SERIE_0", "take", "series.names", _named(lambda n: f"SERIE_{n}")),
    ("names-blank", "as serie 0", "take", "series.names", _named(lambda n: f"serie {n}")),
    ("names-dash", "as serie-0", "take", "series.names", _named(lambda n: f"serie-{n}")),
    ("names-joined", "as serie0", "take", "series.names", _named(lambda n: f"serie{n}")),
    ("names-plural", "as series_0", "take", "series.names", _named(lambda n: f"series_{n}")),
    ("names-numbers", "as 0", "take", "series.names", _named(str)),
    ("names-main", "as main, if there is only one", "take", "series.names", _only_of_one("main")),
    (
        "names-words",
        "as alpha, beta: taken where one is asked for alone",
        "take",
        "series.names",
        _named(_GREEK.__getitem__),
    ),
    ("names-from-one", "numbered from one", "refuse", "series.names", _named(lambda n: f"serie_{n + 1}")),
    ("series-reversed", "in reverse order", "take", "series.order", _ordered(lambda keys: keys[::-1])),
    ("meta-last", "before meta", "take", "series.order", _ordered(lambda keys: [*keys[1:], keys[0]])),
    ("series-others", "beside other objects", "take", "series.beside", lambda draft: draft.result.update(_OTHERS)),
    ("series-missing", "without the last of several", "leave out", "series.beside", _without_last),
    ("series-one-more", "with one more that looks alike", "refuse", "series.beside", _one_more),
)

NAMING = tuple(
    Variation(name, "series", f"Series {line}", verdict, part, change) for name, line, verdict, part, change in _NAMES
)
