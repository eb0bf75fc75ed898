"""Variations of aggInterval, lastUpdated, normalization and units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.model import AggInterval, from_epoch, rfc3339
from collector.simulator.odd.spelling import MOMENTS
from collector.simulator.odd.variation import Draft, Variation, epoch, on_meta, without_meta

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.simulator.odd.variation import Verdict

_ISO = {"15m": "PT15M", "1h": "PT1H", "1d": "P1D", "1w": "P7D"}
_WORDS = {"15m": "15 minutes", "1h": "hourly", "1d": "daily", "1w": "weekly"}
_IN_MINUTES = {"15m": "15min", "1h": "60m", "1d": "1440m", "1w": "10080m"}
_OTHER = {"15m": "ONE_HOUR", "1h": "ONE_DAY", "1d": "ONE_HOUR", "1w": "ONE_DAY"}


def _of(key: str, spell: Callable[[Any], Any]) -> Callable[[Draft], None]:
    return on_meta(key, spell)


def _gone(key: str, empty: Any) -> dict[str, Callable[[Draft], None]]:
    """Return the ways in which a key says nothing."""
    return {"absent": without_meta(key), "null": on_meta(key, lambda _: None), "empty": on_meta(key, lambda _: empty)}


def _by_word(words: dict[str, str]) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        draft.meta["aggInterval"] = words[draft.request.agg_interval.value]

    return change


def _in_seconds(draft: Draft) -> None:
    draft.meta["aggInterval"] = draft.step


def _moved(old: str, new: str) -> Callable[[Draft], None]:
    """Give a key of `meta` another name."""

    def change(draft: Draft) -> None:
        draft.meta[new] = draft.meta.pop(old)

    return change


def _updated(seconds: Callable[[Draft], int]) -> Callable[[Draft], None]:
    """Let `lastUpdated` be another moment."""

    def change(draft: Draft) -> None:
        draft.meta["lastUpdated"] = rfc3339(from_epoch(seconds(draft)))

    return change


def _spelt_updated(spell: Callable[[int], Any]) -> Callable[[Draft], None]:
    return on_meta("lastUpdated", lambda text: spell(epoch(text)))


_INTERVALS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("short", "as it is asked for, 1h", _by_word({one.value: one.value for one in AggInterval})),
    ("short-upper", "as 1H", _by_word({one.value: one.value.upper() for one in AggInterval})),
    ("lower", "as one_hour", _of("aggInterval", str.lower)),
    ("blank", "as One Hour", _of("aggInterval", lambda word: word.replace("_", " ").title())),
    ("camel", "as OneHour", _of("aggInterval", lambda word: word.title().replace("_", ""))),
    ("iso", "as ISO 8601 writes durations, PT1H", _by_word(_ISO)),
    ("word", "as hourly, 15 minutes", _by_word(_WORDS)),
    ("minutes", "as 60m", _by_word(_IN_MINUTES)),
    ("seconds", "as a number of seconds", _in_seconds),
    ("list", "as a list of one", _of("aggInterval", lambda word: [word])),
    ("unknown", "a word that nobody knows: the spacing says it", _of("aggInterval", lambda _: "NATIVE")),
    *((name, name, change) for name, change in _gone("aggInterval", "").items()),
)

_UPDATED: tuple[tuple[str, str, Verdict, Callable[[Draft], object]], ...] = (
    *((name, line, "take", _spelt_updated(spell)) for name, line, spell in MOMENTS),
    ("date", "the date alone", "take", _spelt_updated(lambda seconds: rfc3339(from_epoch(seconds))[:10])),
    ("ahead", "an hour ahead of the present", "take", _updated(lambda draft: draft.now + 3600)),
    ("far-ahead", "in the year 2199", "take", _updated(lambda _: 7_226_582_400)),
    ("by-series", "one for each series", "take", on_meta("lastUpdated", lambda text: [text, text])),
    *((name, name, "leave out", change) for name, change in _gone("lastUpdated", "").items()),
    ("words", "words", "leave out", on_meta("lastUpdated", lambda _: "a while ago")),
)

_NORMALIZATIONS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("lower", "in small letters", _of("normalization", str.lower)),
    ("blank", "with a blank for the underline", _of("normalization", lambda word: word.replace("_", " ").title())),
    ("camel", "as RawValues", _of("normalization", lambda word: word.title().replace("_", ""))),
    ("padded", "with blanks around", _of("normalization", lambda word: f" {word} ")),
    ("list", "as a list of one", _of("normalization", lambda word: [word])),
    *((name, name, change) for name, change in _gone("normalization", "").items()),
)

_UNITS: tuple[tuple[str, str, Callable[[Draft], object]], ...] = (
    ("object", "as one object", _of("units", lambda units: units[0])),
    ("text", "as a text", _of("units", lambda units: units[0]["value"])),
    ("texts", "as a list of texts", _of("units", lambda units: [units[0]["value"]])),
    ("map", "as {*: certificates}", _of("units", lambda units: {"*": units[0]["value"]})),
    ("singular", "below the key unit", _moved("units", "unit")),
    ("upper", "in capitals", _of("units", lambda units: [{"name": "*", "value": units[0]["value"].upper()}])),
    ("padded", "with blanks around", _of("units", lambda units: [{"name": "*", "value": f" {units[0]['value']} "}])),
    ("unnamed", "without a name", _of("units", lambda units: [{"value": units[0]["value"]}])),
    ("null-value", "with a value of null", _of("units", lambda _: [{"name": "*", "value": None}])),
    *((name, name, change) for name, change in _gone("units", []).items()),
)


def _per_series(draft: Draft) -> None:
    value = draft.meta["units"][0]["value"]
    draft.meta["units"] = [{"name": requested.name, "value": value} for requested in draft.request.series]


META = (
    *(
        Variation(f"interval-{name}", "aggInterval", f"aggInterval {line}", "take", "meta.aggInterval", change)
        for name, line, change in _INTERVALS
    ),
    Variation(
        "interval-other",
        "aggInterval",
        "aggInterval says another interval than asked",
        "refuse",
        "meta.aggInterval",
        _by_word(_OTHER),
    ),
    *(
        Variation(f"updated-{name}", "lastUpdated", f"lastUpdated {line}", verdict, "meta.lastUpdated", change)
        for name, line, verdict, change in _UPDATED
    ),
    *(
        Variation(
            f"normalization-{name}", "normalization", f"normalization {line}", "take", "meta.normalization", change
        )
        for name, line, change in _NORMALIZATIONS
    ),
    *(
        Variation(f"units-{name}", "units", f"units {line}", "take", "meta.units", change)
        for name, line, change in _UNITS
    ),
    Variation("units-per-series", "units", "units with one entry for each series", "take", "meta.units", _per_series),
)
