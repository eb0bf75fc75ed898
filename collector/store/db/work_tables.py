"""The tables beside the history: of the work and its replicas, of Radar's lists, of marks, and small facts."""

import sqlalchemy as sa

from collector.store.db.column_types import BigInt, Boolean, BucketTime, CleanText, Timestamp
from collector.store.db.metadata import table as _table
from collector.store.db.metadata import text as _text

replicas = _table(
    "replicas",
    sa.Column("id", BigInt, primary_key=True),
    _text("name"),
    _text("version"),
    _text("profiles"),
    sa.Column("started_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    rowid=True,
)
"""Processes that share a store on Postgres. *profiles* are those of its configuration, as JSON; *expires_at* ends
the lease."""

work_items = _table(
    "duties",
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", CleanText, primary_key=True),
    sa.Column("replica_id", BigInt, nullable=False),
    sa.Column("success_at", Timestamp),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("reason", CleanText),
    sa.Column("again_at", Timestamp),
)
"""Work items: one replica at a time holds each, like the fires of a profile. *replica_id* is the holder's, or 0."""

_BACKFILL_COUNTS = (
    "requests",
    "windows",
    "points_inserted",
    "points_revised",
    "points_unchanged",
    "windows_failed",
    "gaps_remaining",
)

backfills = _table(
    "backfills",
    sa.Column("id", BigInt, primary_key=True),
    _text("profiles"),
    sa.Column("start", BucketTime, nullable=False),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("force", Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("finished_at", Timestamp),
    sa.Column("message", CleanText),
    sa.Column("buckets", BigInt, nullable=False),
    sa.Column("buckets_done", BigInt, nullable=False),
    *(sa.Column(name, BigInt, nullable=False) for name in _BACKFILL_COUNTS),
    sa.Column("points_ignored", BigInt),
    rowid=True,
)
"""Jobs that fetch history, and how far they have come."""

backfill_windows = _table(
    "backfill_windows",
    sa.Column("backfill_id", BigInt, primary_key=True, autoincrement=False),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("start", BucketTime, primary_key=True),
    sa.Column("end", BucketTime, nullable=False),
    sa.Column("replica_id", BigInt),
    sa.Column("failure", CleanText),
)
"""Windows that a running job still has to request, by the series' digest. *replica_id* is the last holder's, if any,
and *failure* why the request failed."""

catalogue = _table(
    "catalogue",
    sa.Column("list", sa.Text, primary_key=True),
    sa.Column("slug", CleanText, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("valid_from", Timestamp, primary_key=True),
    sa.Column("valid_to", Timestamp),
    sa.Column("content", CleanText, nullable=False),
    sa.Column("checksum", BigInt, nullable=False),
)
"""What Radar's lists of authorities and logs said of each entry, and from when to when: the *content* as JSON.

*part* is `entry` for what the list says, `details` for what is known of the entry alone, `measures` for the values of
the details that change each time. *valid_to* is NULL as long as nothing else is known. *checksum* is CRC-32 of the
other columns but *valid_to*."""

catalogue_requests = _table(
    "catalogue_requests",
    sa.Column("list", sa.Text, primary_key=True),
    sa.Column("slug", CleanText, primary_key=True),
    sa.Column("asked_at", Timestamp, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
)
"""When the details of an entry were requested last, and whether there were any: `ok`, or the outcome of the
request."""

marks = _table(
    "marks",
    sa.Column("id", BigInt, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("start_date", Timestamp, nullable=False),
    sa.Column("end_date", Timestamp),
    _text("text"),
    sa.Column("url", CleanText),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.UniqueConstraint("digest"),
    rowid=True,
)
"""Marks of the operator on charts. *digest* is SHA-256 of all but *id* and *created_at*."""

set_checksums = _table(
    "seals",
    sa.Column("part", CleanText, primary_key=True),
    sa.Column("number", BigInt, nullable=False),
    sa.Column("digest", BigInt, nullable=False),
)
"""How many rows there are of a part of fires or vanished, and what their checksums add up to."""

state = _table("state", sa.Column("key", sa.Text, primary_key=True), sa.Column("value", CleanText, nullable=False))
