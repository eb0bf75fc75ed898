"""The store: all SQL, for SQLite and Postgres."""

from collector.store.db.lock_file import Owner
from collector.store.errors import (
    LeaseLost,
    MissingExtension,
    NotAStore,
    SchemaTooNew,
    SchemaTooOld,
    StoreAliased,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreLocked,
    StoreMissing,
    StoreUnavailable,
    StoreUnfit,
    TooLittleRoom,
    ValueRejected,
)
from collector.store.ledger.backfills import (
    BackfillJob,
    BackfillRequest,
    ClaimedWindows,
    CompletedWindows,
    JobProgress,
    JobStatus,
    backfill_request,
)
from collector.store.ledger.bodies import Deviation, KeptBody, NewBody, pack, write_question
from collector.store.ledger.fetches import FetchError, NewestAnswer, SaveResult, StartedFetch
from collector.store.ledger.fires import Fire
from collector.store.ledger.replicas import (
    CATALOGUE,
    HISTORY,
    PROFILE,
    RETENTION,
    Claim,
    NewReplica,
    Replica,
    ServiceHeartbeat,
    ServiceState,
    WorkItem,
)
from collector.store.ledger.replicas import named as process_name
from collector.store.ledger.upstream import (
    Budget,
    Refusal,
    keys_of,
)
from collector.store.read.as_of import AsOfReader, Change, StoredSeries
from collector.store.read.catalogue import EntryVersion, KnownEntry, ListState
from collector.store.read.common_bucket import Bucket, why_another_unit
from collector.store.read.comparison import ProofCount, QuestionProof, total_of
from collector.store.read.day_columns import ChartBucket
from collector.store.read.downsample import Downsampled
from collector.store.read.gaps import ExpectedWindow, GapWindow
from collector.store.read.group_bounds import GroupBounds, UnknownWindow
from collector.store.read.known_values import KnownValue
from collector.store.read.listing import AnnotationRow, FetchRow, RevisionRow, SeriesRow
from collector.store.read.newest_values import NewestValue, NewestValues
from collector.store.read.points import Block, Run
from collector.store.read.selection import PointCursor, PointQuery, SelectedSeries, Selection
from collector.store.read.status import Pause, ProfileStatus, StoreInfo
from collector.store.reader import Reader, ReadView
from collector.store.retention.compact import Compacted
from collector.store.retention.points import SeriesDeletion, SeriesUnknown, SeriesWanted
from collector.store.retention.prune import Pruned
from collector.store.series.generations import UnitChange
from collector.store.series.grids import LearnedGrid
from collector.store.series.identity import Renamed, SeriesState
from collector.store.series.snapshots import PassRecord, Snapshot
from collector.store.store import Store
from collector.store.write.catalogue import CatalogueChanges, ListRecord, load_record, record_key
from collector.store.write.replays import ReadBody, Replayed
from collector.store.write.save_snapshots import Taken

__all__ = [
    "CATALOGUE",
    "HISTORY",
    "PROFILE",
    "RETENTION",
    "AnnotationRow",
    "AsOfReader",
    "BackfillJob",
    "BackfillRequest",
    "Block",
    "Bucket",
    "Budget",
    "CatalogueChanges",
    "Change",
    "ChartBucket",
    "Claim",
    "ClaimedWindows",
    "Compacted",
    "CompletedWindows",
    "Deviation",
    "Downsampled",
    "EntryVersion",
    "ExpectedWindow",
    "FetchError",
    "FetchRow",
    "Fire",
    "GapWindow",
    "GroupBounds",
    "JobProgress",
    "JobStatus",
    "KeptBody",
    "KnownEntry",
    "KnownValue",
    "LearnedGrid",
    "LeaseLost",
    "ListRecord",
    "ListState",
    "MissingExtension",
    "NewBody",
    "NewReplica",
    "NewestAnswer",
    "NewestValue",
    "NewestValues",
    "NotAStore",
    "Owner",
    "PassRecord",
    "Pause",
    "PointCursor",
    "PointQuery",
    "ProfileStatus",
    "ProofCount",
    "Pruned",
    "QuestionProof",
    "ReadBody",
    "ReadView",
    "Reader",
    "Refusal",
    "Renamed",
    "Replayed",
    "Replica",
    "RevisionRow",
    "Run",
    "SaveResult",
    "SchemaTooNew",
    "SchemaTooOld",
    "SelectedSeries",
    "Selection",
    "SeriesDeletion",
    "SeriesRow",
    "SeriesState",
    "SeriesUnknown",
    "SeriesWanted",
    "ServiceHeartbeat",
    "ServiceState",
    "Snapshot",
    "StartedFetch",
    "Store",
    "StoreAliased",
    "StoreCorrupt",
    "StoreDenied",
    "StoreError",
    "StoreInfo",
    "StoreLocked",
    "StoreMissing",
    "StoreUnavailable",
    "StoreUnfit",
    "StoredSeries",
    "Taken",
    "TooLittleRoom",
    "UnitChange",
    "UnknownWindow",
    "ValueRejected",
    "WorkItem",
    "backfill_request",
    "keys_of",
    "load_record",
    "pack",
    "process_name",
    "record_key",
    "total_of",
    "why_another_unit",
    "write_question",
]
