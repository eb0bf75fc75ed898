"""KEEPS: all SQL."""

from collector.store.answers import NewestAnswer
from collector.store.backfills import Backfill, Progress, Standing, Wanted, wanted
from collector.store.bodies import KeptBody, NewBody
from collector.store.common_bucket import Bucket, why_another_unit
from collector.store.deviations import Deviation
from collector.store.downsample import Column, Thinned
from collector.store.duties import HISTORY, PROFILE, RETENTION, Claimed, Duty
from collector.store.errors import (
    LeaseLost,
    StoreAliased,
    StoreBehind,
    StoreDamaged,
    StoreDenied,
    StoreError,
    StoreForeign,
    StoreLacks,
    StoreMissing,
    StoreNewer,
    StoreOwned,
    StoreRefused,
    StoreUnavailable,
    StoreUnfit,
)
from collector.store.export import Block
from collector.store.fetches import Begun, Budget, Failure, Saved
from collector.store.fires import Fire
from collector.store.generations import UnitChange
from collector.store.grids import LearnedGrid
from collector.store.heartbeat import Beat, ServiceState
from collector.store.heartbeat import named as process_name
from collector.store.history import Change, History, KeptSeries, Stretch
from collector.store.holes import Expected, Hole
from collector.store.listing import AnnotationRow, FetchRow, RevisionRow, SeriesRow
from collector.store.owner import Owner
from collector.store.packing import pack
from collector.store.passes import LONGEST_PAUSE, PassRecord
from collector.store.prune import Pruned
from collector.store.questions import write_question
from collector.store.reader import Reader
from collector.store.refusals import FIRST_PAUSE, Refusal, keys_of, pause
from collector.store.renames import Renamed
from collector.store.replays import ReadBody, Replayed
from collector.store.replicas import Candidate, Replica
from collector.store.save_snapshots import Taken
from collector.store.selection import Place, SelectedSeries, Selection
from collector.store.series_deletion import Forgotten, SeriesUnknown, SeriesWanted
from collector.store.snapshots import Snapshot
from collector.store.states import SeriesState
from collector.store.status import Pause, ProfileStatus, StoreInfo
from collector.store.store import Store
from collector.store.upstream import SILENT_AFTER, Upstream, Wait
from collector.store.windows import Settled, Share

__all__ = [
    "FIRST_PAUSE",
    "HISTORY",
    "LONGEST_PAUSE",
    "PROFILE",
    "RETENTION",
    "SILENT_AFTER",
    "AnnotationRow",
    "Backfill",
    "Beat",
    "Begun",
    "Block",
    "Bucket",
    "Budget",
    "Candidate",
    "Change",
    "Claimed",
    "Column",
    "Deviation",
    "Duty",
    "Expected",
    "Failure",
    "FetchRow",
    "Fire",
    "Forgotten",
    "History",
    "Hole",
    "KeptBody",
    "KeptSeries",
    "LearnedGrid",
    "LeaseLost",
    "NewBody",
    "NewestAnswer",
    "Owner",
    "PassRecord",
    "Pause",
    "Place",
    "ProfileStatus",
    "Progress",
    "Pruned",
    "ReadBody",
    "Reader",
    "Refusal",
    "Renamed",
    "Replayed",
    "Replica",
    "RevisionRow",
    "Saved",
    "SelectedSeries",
    "Selection",
    "SeriesRow",
    "SeriesState",
    "SeriesUnknown",
    "SeriesWanted",
    "ServiceState",
    "Settled",
    "Share",
    "Snapshot",
    "Standing",
    "Store",
    "StoreAliased",
    "StoreBehind",
    "StoreDamaged",
    "StoreDenied",
    "StoreError",
    "StoreForeign",
    "StoreInfo",
    "StoreLacks",
    "StoreMissing",
    "StoreNewer",
    "StoreOwned",
    "StoreRefused",
    "StoreUnavailable",
    "StoreUnfit",
    "Stretch",
    "Taken",
    "Thinned",
    "UnitChange",
    "Upstream",
    "Wait",
    "Wanted",
    "keys_of",
    "pack",
    "pause",
    "process_name",
    "wanted",
    "why_another_unit",
    "write_question",
]
