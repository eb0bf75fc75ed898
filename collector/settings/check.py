"""Checks one table of one source: what is right goes on, what is wrong goes to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from collector.profile import nearest
from collector.settings.problem import shown
from collector.settings.tables import CONFIDENTIAL, allowed, toml_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from collector.settings.problem import KeyPath, Place, Report
    from collector.settings.tables import Table


def check_table(
    model: type[Table], values: Mapping[str, Any], base: KeyPath, place: Callable[[KeyPath], Place], report: Report
) -> dict[str, Any]:
    """Return those of *values* that *model* accepts, each as it was found, and report the others."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return dict(values)
    wrong = {str(detail["loc"][0]): detail for detail in details}
    for key, detail in wrong.items():
        path = (*base, key)
        report.add(path, place(path), _text(model, path, detail))
    return {key: value for key, value in values.items() if key not in wrong}


def unknown(key: str, words: Iterable[str]) -> str:
    """Refuse a key that does not exist."""
    words = tuple(words)
    return f"unknown key{nearest(key, words)}; allowed: {', '.join(words)}"


def _text(model: type[Table], path: KeyPath, detail: Mapping[str, Any]) -> str:
    key = str(path[-1])
    if detail["type"] == "extra_forbidden":
        return unknown(key, toml_keys(model))
    # pydantic's own words are not used: they quote what was found, secrets included
    reason = str(detail.get("ctx", {}).get("error", ""))
    if path in CONFIDENTIAL:
        return f"{reason}; allowed: {allowed(model, key)}"
    joint = "" if not reason else " " if reason.startswith("(") else ": "
    return f"found {shown(detail['input'])}{joint}{reason}; allowed: {allowed(model, key)}"
