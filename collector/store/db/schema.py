"""The tables. The migrations build the same ones, which a test compares.

There are no foreign keys: the rows of one answer are written in one transaction by one module, a check per point costs
as much as the point, and retention may drop old fetches whose points remain.
"""

from typing import Any

import sqlalchemy as sa

from collector.store.db import work_tables
from collector.store.db.column_types import BigInt, Boolean, BucketTime, CleanText, Double, Timestamp
from collector.store.db.metadata import metadata as _metadata
from collector.store.db.metadata import table as _table
from collector.store.db.metadata import text as _text

APPLICATION_ID = 0x52444354
"""Marks a SQLite file as a store: "RDCT" in its header."""

metadata = _metadata
backfills, backfill_windows = work_tables.backfills, work_tables.backfill_windows
catalogue, catalogue_requests = work_tables.catalogue, work_tables.catalogue_requests
replicas, work_items, marks = work_tables.replicas, work_tables.work_items, work_tables.marks
set_checksums, state = work_tables.set_checksums, work_tables.state
"""The tables beside the history, see `work_tables`."""

YEARS = range(2024, 2032)
"""Years with a partition of their own; each one costs a little whenever a statement names no time."""
BY_TIME = "RANGE (timestamp)"


def partitions() -> dict[str, str]:
    """The partitions by name, each with its bounds."""
    first, last = YEARS[0], YEARS[-1] + 1
    years = {f"points_{year}": f"FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')" for year in YEARS}
    return {
        f"points_before_{first}": f"FROM (MINVALUE) TO ('{first}-01-01Z')",
        **years,
        f"points_from_{last}": f"FROM ('{last}-01-01Z') TO (MAXVALUE)",
    }


def create_partitions() -> list[str]:
    """Return the statements that create the partitions, and that fill the pages of their keys.

    Points come in the order of the key, so no room has to be left in its pages.
    """
    create = [f"CREATE TABLE {name} PARTITION OF points FOR VALUES {bounds}" for name, bounds in partitions().items()]
    return [*create, *(f"ALTER INDEX {name}_pkey SET (fillfactor = 100)" for name in partitions())]


series = _table(
    "series",
    sa.Column("id", BigInt, primary_key=True),
    _text("label"),
    _text("dataset"),
    _text("dimension"),
    _text("group"),
    _text("agg_interval"),
    _text("filters"),
    _text("normalization"),
    _text("unit"),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("points", BigInt, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("settle", BigInt),
    sa.Column("in_force_at", Timestamp),
    sa.Column("proposed_at", Timestamp),
    sa.Column("sums_differ", Boolean),
    sa.UniqueConstraint("digest", "normalization", "unit"),
    rowid=True,
)
"""*digest* is SHA-256 of the question (dataset to filters); with normalization and unit it is the whole identity.
*points* counts the series' points, so that a status is cheap. *label* is the newest label.

*settle* is the longest `settle`, in seconds, of the profiles that want the series. *in_force_at* is when the labels
moved to it last, NULL if never. *proposed_at* is when the first of the newest answers in a row with its normalization
and unit was requested, while another series is in force. *sums_differ* is true if Radar's daily values are not the sums
of its finer ones, so that they confirm nothing.
"""

profile_series = _table(
    "profile_series",
    sa.Column("profile", CleanText, primary_key=True),
    sa.Column("label", CleanText, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("series_id", BigInt, nullable=False),
    sa.Column("active", Boolean, nullable=False),
)

points = _table(
    "points",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("timestamp", BucketTime, primary_key=True),
    sa.Column("value", Double, nullable=False),
    sa.Column("fetch_id", BigInt, nullable=False),
    sa.CheckConstraint("value > -9e999 AND value < 9e999", name="ck_points_finite").ddl_if(dialect="sqlite"),
    sa.CheckConstraint("value > '-Infinity' AND value < 'Infinity'", name="ck_points_finite").ddl_if(
        dialect="postgresql"
    ),
)

groups = _table(
    "groups",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Index("ix_groups_question", "question"),
)
"""The series that are a group of a question with a dimension; *question* is the digest of that question."""

remainders = _table(
    "remainders",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("timestamp", BucketTime, primary_key=True),
    sa.Column("fetch_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("other", Double, nullable=False),
    sa.Column("smallest", Double, nullable=False),
    sa.Column("seen_at", Timestamp, nullable=False),
)
"""What answers left beside the groups they listed, of the series that holds the sum of all groups; see `Remainder`.

A bucket has a row for each answer that said something else than the one before. The newest fetch counts. Where it has
an *other* of 0, or where there is no row, absent groups have nothing."""

proofs = _table(
    "proofs",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("start", BucketTime, primary_key=True),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("total_id", BigInt, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reread_at", Timestamp),
    sa.Index("ix_proofs_total_id", "total_id"),
)
"""How the sum of all groups (*series_id*) compares with the total of the same filters (*total_id*) in the buckets
[start, end); see `collector.rules.proof`. Rows of a series do not overlap. What was never comparable has no row."""

revisions = _table(
    "revisions",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("timestamp", BucketTime, primary_key=True),
    sa.Column("replaced_by", BigInt, primary_key=True, autoincrement=False),
    sa.Column("value", Double, nullable=False),
    sa.Column("fetch_id", BigInt, nullable=False),
    sa.Column("seen_at", Timestamp, nullable=False),
    sa.Column("replaced_at", Timestamp, nullable=False),
    sa.Index("ix_revisions_replaced_at", "replaced_at"),
)
"""The old value: which fetch brought it and when, which one replaced it and when."""

vanished = _table(
    "vanished",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("timestamp", BucketTime, primary_key=True),
    sa.Column("fetch_id", BigInt, nullable=False),
    sa.Column("seen_at", Timestamp, nullable=False),
)
"""Stored buckets that a later answer over their window no longer had."""

series_days = _table(
    "series_days",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("day", BucketTime, primary_key=True),
    sa.Column("points", BigInt, nullable=False),
    sa.Column("sum", Double, nullable=False),
    sa.Column("minimum", Double, nullable=False),
    sa.Column("maximum", Double, nullable=False),
    sa.Column("checksum", BigInt, nullable=False),
)
"""The points of a series in the UTC day that begins at *day*, for intervals finer than a day; see `days`."""

stale_days = _table(
    "stale_days",
    sa.Column("day", BucketTime, primary_key=True),
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
)
"""Days whose row in `series_days` has to be written anew from the points."""

fetches = _table(
    "fetches",
    sa.Column("id", BigInt, primary_key=True),
    sa.Column("started_at", Timestamp, nullable=False),
    sa.Column("finished_at", Timestamp),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("code", sa.Integer),
    sa.Column("message", CleanText),
    _text("request"),
    _text("profiles"),
    sa.Column("positions", sa.Integer, nullable=False),
    _text("agg_interval"),
    sa.Column("last_updated", Timestamp),
    sa.Column("normalization", CleanText),
    sa.Column("unit", CleanText),
    sa.Column("confidence_level", sa.Integer),
    sa.Column("bytes", BigInt),
    sa.Column("inserted", sa.Integer),
    sa.Column("revised", sa.Integer),
    sa.Column("unchanged", sa.Integer),
    sa.Column("vanished", sa.Integer),
    sa.Column("replica_id", BigInt),
    sa.Column("ignored", sa.Integer),
    sa.Column("windows", sa.Text),
    sa.Column("replay_of", BigInt),
    sa.Index("ix_fetches_finished_at", "finished_at"),
    sa.Index("ix_fetches_last_updated", "last_updated"),
    rowid=True,
)
"""One row per request, recorded before it is sent: the ledger of the request budget. On SQLite a view, see `records`.

*windows* is a JSON array of [start, end] in RFC 3339, one per position; NULL if they are all the one that *request*
names. *last_updated* is never ahead of the clock.
*replay_of* is NULL for a request; otherwise nothing was sent, and the kept body of that fetch was read again.
"""

bodies = _table(
    "bodies",
    sa.Column("fetch_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("kind", CleanText, nullable=False),
    sa.Column("received_at", Timestamp, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("size", BigInt, nullable=False),
    sa.Column("stored", BigInt, nullable=False),
    sa.Column("whole", Boolean, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("replayed_by", BigInt),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    rowid=True,
)
"""Bodies of responses that were refused, or that show a deviation: *body* is what came, compressed by zlib.

*size* counts the bytes that came, *stored* those of *body* and *question*. If it is not *whole*, *body* is an excerpt.
*question* is the batch as JSON, see `questions`. *version* is the collector that read the body last, *replayed_by* the
fetch under which it was stored after all."""

fetch_profiles = _table(
    "fetch_profiles",
    sa.Column("profile", CleanText, primary_key=True),
    sa.Column("fetch_id", BigInt, primary_key=True, autoincrement=False),
)
"""The fetches of each profile, for finding the newest without reading all."""

series_sets = _table(
    "series_sets",
    sa.Column("id", BigInt, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.UniqueConstraint("digest"),
    rowid=True,
)
"""Sets of series that one answer was about. *digest* is SHA-256 of their ids, ascending; see `coverage`."""

series_set_members = _table(
    "series_set_members",
    sa.Column("set_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Index("ix_series_set_members_series_id", "series_id"),
)

answers = _table(
    "answers",
    sa.Column("set_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("end", BucketTime, primary_key=True),
    sa.Column("fetch_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("start", BucketTime, nullable=False),
    sa.Column("start_time", Timestamp),
    sa.Column("end_time", Timestamp),
    sa.Column("checksum", BigInt, nullable=False),
    sa.Column("overruled", Boolean),
    sa.Index("ix_answers_fetch_id", "fetch_id"),
)
"""The buckets [start, end) that a fetch answered for each series of a set: one row, because live use has a request for
each new bucket of all series. The range as the API adjusted it is NULL if it could not be read. *checksum* is the sum,
modulo 2^32, of a checksum for each series: of the range and of the values that the fetch wrote there. *overruled* is
true if an answer with a later lastUpdated had come, so that this one only added buckets; otherwise NULL."""

series_ranges = _table(
    "series_ranges",
    sa.Column("series_id", BigInt, nullable=False, autoincrement=False),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("fetch_id", BigInt, nullable=False, autoincrement=False),
    sa.Column("start", BucketTime, nullable=False),
    sa.Column("start_time", Timestamp),
    sa.Column("end_time", Timestamp),
    sa.Column("checksum", BigInt, nullable=False),
    sa.Column("overruled", Boolean),
    sa.PrimaryKeyConstraint("series_id", "end", "fetch_id", name="pk_date_ranges"),
    sa.Index("ix_series_ranges_fetch_id", "fetch_id"),
    quote=True,  # as SQLite writes the name of a renamed table
)
"""The same with a row for each series, as versions before schema 0011 wrote it. They move to `answers` bit by bit."""

folded_answers = _table(
    "folded_answers",
    sa.Column("id", BigInt, primary_key=True),
    sa.Column("set_id", BigInt, nullable=False),
    sa.Column("start", BucketTime, nullable=False),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("fetch_id", BigInt, nullable=False),
    sa.Column("first_fetch_id", BigInt, nullable=False),
    sa.Column("last_fetch_id", BigInt, nullable=False),
    sa.Column("first_finished_at", Timestamp, nullable=False),
    sa.Column("last_finished_at", Timestamp, nullable=False),
    sa.Column("last_updated", Timestamp, nullable=False),
    sa.Column("lowest_level", sa.Integer),
    sa.Column("highest_level", sa.Integer),
    sa.Column("checksum", BigInt, nullable=False),
    sa.Column("digest", BigInt, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_folded_answers_set_id", "set_id", "end"),
    rowid=True,
)
"""Many rows of `answers` about one set of series in one: the buckets [start, end) without a hole; see `folds`.

*fetch_id* is the newest answer, *last_updated* the newest lastUpdated. The levels are the lowest and the highest
confidence level, -1 for unknown, of answers that were not overruled; NULL if there are none. *checksum* is the sum of
those of the answers, *digest* that of the row itself, *content* what each answer said."""

finality = _table(
    "finality",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("start", BucketTime, primary_key=True),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("asked_at", Timestamp, nullable=False),
    sa.Column("told_at", Timestamp, nullable=False),
    sa.Column("margin", BigInt, nullable=False),
    sa.Column("changed_at", Timestamp),
    sa.Column("confirmed", Boolean, nullable=False),
)
"""How far the values of the buckets [start, end) are known to be true; rows of a series do not overlap.

See `collector.rules.finality.Evidence` for the meaning of the columns."""

absences = _table(
    "absences",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("start", BucketTime, primary_key=True),
    sa.Column("fetch_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("window_start", BucketTime, nullable=False),
    sa.Column("window_end", BucketTime, nullable=False),
    sa.Column("asked_at", Timestamp, nullable=False),
    sa.Column("told_at", Timestamp, nullable=False),
)
"""Buckets [start, end) that are not stored and that an answer past settle lacked, too: the proof of an upstream gap.

[window_start, window_end) was requested; *told_at* is the earlier of *asked_at* and the answer's lastUpdated.
"""

refusals = _table(
    "refusals",
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", CleanText, nullable=False),
    sa.Column("failures", BigInt, nullable=False),
    sa.Column("refused_at", Timestamp, nullable=False),
    sa.Column("again_at", Timestamp, nullable=False),
)
"""Questions, by the digest of the series, whose answer was refused for its content: not requested before *again_at*."""

snapshots = _table(
    "snapshots",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("asked_at", Timestamp, primary_key=True),
    sa.Column("start", BucketTime, nullable=False),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("last_updated", Timestamp, nullable=False),
    sa.Column("points", BigInt, nullable=False),
    sa.Column("checksum", BigInt, nullable=False),
)
"""Complete answers of one pass about a series whose values depend on the moment of the request: buckets [start,
end)."""

snapshot_points = _table(
    "snapshot_points",
    sa.Column("series_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("asked_at", Timestamp, primary_key=True),
    sa.Column("timestamp", BucketTime, primary_key=True),
    sa.Column("value", Double, nullable=False),
)
"""The points of snapshots."""

annotations = _table(
    "annotations",
    sa.Column("id", BigInt, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    _text("dataset"),
    sa.Column("start_date", Timestamp, nullable=False),
    sa.Column("end_date", Timestamp),
    sa.Column("data_source", CleanText),
    sa.Column("event_type", CleanText),
    sa.Column("description", CleanText),
    sa.Column("linked_url", CleanText),
    sa.Column("is_instantaneous", Boolean, nullable=False),
    _text("tags"),
    sa.Column("first_seen_at", Timestamp, nullable=False),
    sa.Column("last_seen_at", Timestamp, nullable=False),
    sa.Column("last_updated", Timestamp, nullable=False),
    sa.UniqueConstraint("digest"),
    rowid=True,
)
"""*last_updated* is the newest one of an answer that had the annotation. Texts are NULL if they came as null."""

withdrawals = _table(
    "withdrawals",
    sa.Column("annotation_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("withdrawn_at", Timestamp, primary_key=True),
    sa.Column("returned_at", Timestamp),
    sa.Column("last_updated", Timestamp, nullable=False),
)
"""Periods in which answers that should have had an annotation did not; *last_updated* is the first such answer's."""

fires = _table(
    "fires",
    sa.Column("profile", CleanText, primary_key=True),
    sa.Column("due", Timestamp, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("finished_at", Timestamp, nullable=False),
    sa.Column("message", CleanText),
)
"""Due moments and what became of them. On SQLite a view, see `records`."""

_ddl: Any = sa.DDL


@sa.event.listens_for(points, "before_create")
def _partition(table: sa.Table, connection: sa.Connection, **_options: Any) -> None:
    """Declare the partitions only where they are created, because the option loads SQLAlchemy's part for Postgres."""
    if connection.dialect.name == "postgresql":
        table.dialect_options["postgresql"]["partition_by"] = BY_TIME


for _statement in create_partitions():
    sa.event.listen(points, "after_create", _ddl(_statement).execute_if(dialect="postgresql"))

date_ranges, unfolded_ranges = (
    sa.table(name, *(sa.column(c.name, c.type) for c in series_ranges.c)) for name in ("date_ranges", "unfolded_ranges")
)
labels = sa.table("labels", *(sa.column(c.name, c.type) for c in profile_series.c if c.name != "active"))
"""The views `date_ranges`, `unfolded_ranges` and `labels`, see `views`."""
