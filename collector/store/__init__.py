"""KEEPS: all SQL."""

from collector.store.answers import NewestAnswer
from collector.store.backfills import Backfill, Progress, Standing, Wanted, wanted
from collector.store.duties import HISTORY, PROFILE, RETENTION, Claimed, Duty
from collector.store.errors import (
    LeaseLost,
    StoreBehind,
    StoreDamaged,
    StoreError,
    StoreForeign,
    StoreLacks,
    StoreMissing,
    StoreNewer,
    StoreOwned,
    StoreRefused,
    StoreUnavailable,
)
from collector.store.fetches import Begun, Budget, Failure, Saved
from collector.store.fires import Fire
from collector.store.heartbeat import Beat, ServiceState
from collector.store.heartbeat import named as process_name
from collector.store.history import History, KeptSeries, Stretch
from collector.store.holes import Expected, Hole
from collector.store.listing import AnnotationRow, FetchRow, RevisionRow, SeriesRow
from collector.store.owner import Owner
from collector.store.prune import Pruned
from collector.store.reader import Reader
from collector.store.replicas import Candidate, Replica
from collector.store.selection import Column, Place, SelectedSeries, Selection, Thinned
from collector.store.status import Pause, ProfileStatus, StoreInfo
from collector.store.store import Store
from collector.store.upstream import SILENT_AFTER, Upstream, Wait
from collector.store.windows import Settled, Share

__all__ = [
    "HISTORY",
    "PROFILE",
    "RETENTION",
    "SILENT_AFTER",
    "AnnotationRow",
    "Backfill",
    "Beat",
    "Begun",
    "Budget",
    "Candidate",
    "Claimed",
    "Column",
    "Duty",
    "Expected",
    "Failure",
    "FetchRow",
    "Fire",
    "History",
    "Hole",
    "KeptSeries",
    "LeaseLost",
    "NewestAnswer",
    "Owner",
    "Pause",
    "Place",
    "ProfileStatus",
    "Progress",
    "Pruned",
    "Reader",
    "Replica",
    "RevisionRow",
    "Saved",
    "SelectedSeries",
    "Selection",
    "SeriesRow",
    "ServiceState",
    "Settled",
    "Share",
    "Standing",
    "Store",
    "StoreBehind",
    "StoreDamaged",
    "StoreError",
    "StoreForeign",
    "StoreInfo",
    "StoreLacks",
    "StoreMissing",
    "StoreNewer",
    "StoreOwned",
    "StoreRefused",
    "StoreUnavailable",
    "Stretch",
    "Thinned",
    "Upstream",
    "Wait",
    "Wanted",
    "process_name",
    "wanted",
]
