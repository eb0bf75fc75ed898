"""KEEPS: all SQL."""

from collector.store.claims.backfill_queue import Settled, Share
from collector.store.claims.work_items import HISTORY, PROFILE, RETENTION, Claimed, Duty
from collector.store.db.lock_file import Owner
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
from collector.store.ledger.backfills import Backfill, Progress, Standing, Wanted, wanted
from collector.store.ledger.bodies import KeptBody, NewBody, pack, write_question
from collector.store.ledger.budget import Budget
from collector.store.ledger.deviations import Deviation
from collector.store.ledger.fetches import Begun, Failure, NewestAnswer, Saved
from collector.store.ledger.fires import Fire
from collector.store.ledger.heartbeat import Beat, ServiceState
from collector.store.ledger.heartbeat import named as process_name
from collector.store.ledger.refusals import FIRST_PAUSE, Refusal, keys_of, pause
from collector.store.ledger.replicas import Candidate, Replica
from collector.store.ledger.upstream import SILENT_AFTER, Upstream, Wait
from collector.store.read.as_of import Change, History, KeptSeries, Stretch
from collector.store.read.common_bucket import Bucket, why_another_unit
from collector.store.read.downsample import Column, Thinned
from collector.store.read.gaps import Expected, Hole
from collector.store.read.listing import AnnotationRow, FetchRow, RevisionRow, SeriesRow
from collector.store.read.points import Block
from collector.store.read.selection import Place, SelectedSeries, Selection
from collector.store.read.series_states import SeriesState
from collector.store.read.status import Pause, ProfileStatus, StoreInfo
from collector.store.read_view import ReadView
from collector.store.reader import Reader
from collector.store.retention.prune import Pruned
from collector.store.retention.series_deletion import Forgotten, SeriesUnknown, SeriesWanted
from collector.store.series.generations import UnitChange
from collector.store.series.grids import LearnedGrid
from collector.store.series.identity import Renamed
from collector.store.series.snapshots import LONGEST_PAUSE, PassRecord, Snapshot
from collector.store.store import Store
from collector.store.write.replays import ReadBody, Replayed
from collector.store.write.save_snapshots import Taken

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
    "ReadView",
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
