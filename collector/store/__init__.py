"""KEEPS: all SQL."""

from collector.store.answers import NewestAnswer
from collector.store.backfills import Backfill, Progress, Standing, Wanted, wanted
from collector.store.errors import (
    StoreBehind,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreMissing,
    StoreNewer,
    StoreOwned,
    StoreRefused,
    StoreUnavailable,
)
from collector.store.fetches import Begun, Budget, Failure, Saved, Wait
from collector.store.fires import Fire
from collector.store.history import History, KeptSeries, Stretch
from collector.store.holes import Hole
from collector.store.listing import AnnotationRow, FetchRow, RevisionRow, SeriesRow
from collector.store.owner import Owner
from collector.store.reader import Reader
from collector.store.selection import Column, Place, SelectedSeries, Selection, Thinned
from collector.store.status import ProfileStatus, StoreInfo
from collector.store.store import Store

__all__ = [
    "AnnotationRow",
    "Backfill",
    "Begun",
    "Budget",
    "Column",
    "Failure",
    "FetchRow",
    "Fire",
    "History",
    "Hole",
    "KeptSeries",
    "NewestAnswer",
    "Owner",
    "Place",
    "ProfileStatus",
    "Progress",
    "Reader",
    "RevisionRow",
    "Saved",
    "SelectedSeries",
    "Selection",
    "SeriesRow",
    "Standing",
    "Store",
    "StoreBehind",
    "StoreDamaged",
    "StoreError",
    "StoreForeign",
    "StoreInfo",
    "StoreMissing",
    "StoreNewer",
    "StoreOwned",
    "StoreRefused",
    "StoreUnavailable",
    "Stretch",
    "Thinned",
    "Wait",
    "Wanted",
    "wanted",
]
