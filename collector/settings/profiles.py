"""Reads the `[[profiles]]` tables: what each asks for, with what it leaves open taken from `[collection]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.moments import check_date
from collector.profile import Profile
from collector.settings.check import check_table
from collector.settings.filters import choose
from collector.settings.problem import shown
from collector.settings.rules import check_settle
from collector.settings.tables import ProfileTable, allowed

if TYPE_CHECKING:
    from datetime import datetime

    from collector.settings.document import Document
    from collector.settings.problem import KeyPath, Report
    from collector.settings.tables import CollectionTable

_REQUIRED = ("name", "agg_interval")


@dataclass(frozen=True)
class ProfileReader:
    """Reads the profiles of one document; *collection* fills in what they leave open."""

    document: Document
    collection: CollectionTable
    now: datetime
    report: Report

    def read(self) -> tuple[Profile, ...]:
        """Return every profile that can be used; what is wrong with the others is in the report."""
        tables = self.document.values.get("profiles", [])
        if not isinstance(tables, list):
            self._refuse(("profiles",), f"found {shown(tables)}; allowed: a table for each, [[profiles]]")
            return ()
        profiles = [self._profile(index, table) for index, table in enumerate(tables)]
        self._check_names(tables)
        return tuple(profile for profile in profiles if profile is not None)

    def _refuse(self, path: KeyPath, text: str) -> None:
        self.report.add(path, self.document.place(path), text)

    def _check_names(self, tables: list[object]) -> None:
        first: dict[str, str] = {}
        for index, table in enumerate(tables):
            name = table.get("name") if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            path = ("profiles", index, "name")
            if name in first:
                self._refuse(path, f"found {shown(name)}, which is taken at {first[name]}; allowed: another name")
            first.setdefault(name, self.document.place(path).origin)

    def _profile(self, index: int, found: object) -> Profile | None:
        base: KeyPath = ("profiles", index)
        if not isinstance(found, dict):
            self._refuse(base, f"found {shown(found)}; allowed: a table")
            return None
        values = check_table(ProfileTable, found, base, self.document.place, self.report)
        for key in _REQUIRED:
            if key not in found:
                self._refuse((*base, key), f"missing; allowed: {allowed(ProfileTable, key)}")
        table = ProfileTable.model_validate(values)
        self._check_since(table, base)
        return self._resolved(table, base)

    def _check_since(self, table: ProfileTable, base: KeyPath) -> None:
        if table.since is None:
            return
        try:
            check_date(table.since, self.now)
        except ValueError as error:
            self._refuse((*base, "since"), str(error))

    def _resolved(self, table: ProfileTable, base: KeyPath) -> Profile | None:
        """Fill in what the profile leaves open, and check the rules that span keys."""
        chosen = choose(table.filters or {}, table.each or {})
        for path, text in chosen.problems:
            self._refuse((*base, *path), text)
        collection = self.collection.model_dump()
        collection |= {key: value for key in collection if (value := getattr(table, key)) is not None}
        own = next((key for key in ("settle", "lookback") if getattr(table, key) is not None), None)
        if own:
            place = self.document.place((*base, own))
            check_settle(collection["settle"], collection["lookback"], base, place, self.report)
        if table.name is None or table.agg_interval is None:
            return None
        of_its_own = (table.name, table.agg_interval, chosen.filters, chosen.each, table.since)
        return Profile(*of_its_own, **collection, enabled=table.enabled is not False)
