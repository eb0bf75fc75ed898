"""Reads `[profiles.filters]` and `[profiles.each]`: pure rules over two tables, every refusal with its key path."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from collector.profile import FILTERS, TLD_EXCLUDES, filter_parameter, nearest
from collector.settings.problem import shown, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.profile import FilterParameter
    from collector.settings.problem import KeyPath

MOST_SERIES = 10_000
"""How many series one profile may expand to; far more is a mistake that would use up the request budget for weeks."""

_STAR = "*"
_BOOLEAN = {"true", "false"}


@dataclass
class Chosen:
    """What the two tables ask for, by the API's names; *problems* holds (key path in the profile, text)."""

    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    each: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)


def choose(filters: Mapping[str, Any], each: Mapping[str, Any]) -> Chosen:
    """Read both tables; only where there are no problems is the result complete."""
    chosen = Chosen()
    stands: dict[str, KeyPath] = {}
    for table, values, into in (("filters", filters, chosen.filters), ("each", each, chosen.each)):
        for key, value in values.items():
            parameter = filter_parameter(key)
            if parameter is None:
                chosen.problems.append(((table, key), _unknown(key)))
                continue
            if parameter.name in stands:
                chosen.problems.append(((table, key), _repeated(stands[parameter.name], table)))
            stands.setdefault(parameter.name, (table, key))
            into[parameter.name] = _values(parameter, (table, key), value, chosen)
    _check_combinations(stands, chosen)
    if not chosen.problems:
        _check_labels(chosen)
    return chosen


def _unknown(key: str) -> str:
    names = [parameter.option for parameter in FILTERS.values()]
    return f"unknown key{nearest(key, names)}; allowed: {', '.join(names)}"


def _repeated(first: KeyPath, table: str) -> str:
    if first[0] == table:
        return f"the same filter as {written(first)}; keep one spelling"
    return f"also stands as {written(first)}; a filter is either fixed or varied"


def _values(parameter: FilterParameter, path: KeyPath, value: object, chosen: Chosen) -> tuple[str, ...]:
    listed = isinstance(value, list)
    items: list[object] = value if isinstance(value, list) else [value]
    if path[0] == "each" and not listed:
        chosen.problems.append((path, f"found {shown(value)}; allowed: a list, each value {parameter.allowed}"))
    elif not items:
        chosen.problems.append((path, f"found an empty list; allowed: {parameter.allowed}"))
    texts: list[str] = []
    for index, item in enumerate(items):
        wrong = _refusal(parameter, path, item, texts)
        if wrong:
            chosen.problems.append(((*path, index) if listed else path, wrong))
        else:
            texts.append(_text(parameter, item))
    return tuple(texts)


def _text(parameter: FilterParameter, item: object) -> str:
    """Take text as it is, and true and false where the parameter is boolean; anything else is no text."""
    if isinstance(item, bool) and set(parameter.values) == _BOOLEAN:
        return "true" if item else "false"
    return item if isinstance(item, str) else ""


def _refusal(parameter: FilterParameter, path: KeyPath, item: object, before: list[str]) -> str:
    """Return what is wrong with *item*, one of the values at *path*; empty if nothing is."""
    text = _text(parameter, item)
    if text == _STAR:
        words = "list the values, because a star is not supported yet" if path[0] == "each" else "leave the key out"
        return f'found "{_STAR}", which does not stand for every value; {words}; allowed: {parameter.allowed}'
    if not text or not parameter.accepts(text):
        return f"found {shown(item)}{nearest(text, parameter.values)}; allowed: {parameter.allowed}"
    return f"found {shown(item)} twice; allowed: every value once" if text in before else ""


def _check_combinations(stands: Mapping[str, KeyPath], chosen: Chosen) -> None:
    against = [written(stands[name]) for name in FILTERS if name in TLD_EXCLUDES and name in stands]
    if "tld" in stands and against:
        chosen.problems.append((stands["tld"], f"cannot be combined with {', '.join(against)}: Radar refuses that"))


def _check_labels(chosen: Chosen) -> None:
    """Refuse too many series, and two of one label (`a/b` + `c` beside `a` + `b/c`)."""
    count = math.prod(map(len, chosen.each.values()))
    if count > MOST_SERIES:
        chosen.problems.append((("each",), f"found {count} combinations; allowed: at most {MOST_SERIES} series"))
        return
    labels = Counter("/".join(values) for values in product(*chosen.each.values()))
    twice = [label for label, times in labels.items() if times > 1]
    if twice:
        chosen.problems.append((("each",), f"two series would both be labelled {shown(twice[0])}; change a value"))
