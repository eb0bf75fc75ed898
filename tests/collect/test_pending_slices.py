"""A window that was cut for one size of request is whole again for the next size."""

from datetime import UTC, datetime, timedelta

from collector.collect.batches.pending_slices import PendingSlices, RelativeSeries
from collector.model import Batch, Slice, Window
from tests.harness.factories import many

NOW = datetime(2026, 3, 10, tzinfo=UTC)
WEEK = timedelta(days=7)


def test_after_a_rejection_a_relative_series_is_cut_from_its_whole_window():
    wanted = [Slice(series.query, Window(NOW - 4 * WEEK, NOW)) for series in many(2).series]
    newest = [Batch((Slice(slice_.series, Window(NOW - 2 * WEEK, NOW)),)) for slice_ in wanted]
    pool, relative = PendingSlices(wanted), RelativeSeries([slice_.series for slice_ in wanted])
    pool.keep(relative.left(pool.slices(), newest, ()))
    pool.take(newest[0].slices)
    assert {slice_.window.duration for slice_ in pool.slices()} == {2 * WEEK}
    pool.add(newest[0].slices)
    relative.rejected(newest[0], pool)
    assert pool.slices() == wanted


def test_no_slice_of_an_answered_relative_series_is_put_back():
    wanted = [Slice(series.query, Window(NOW - 4 * WEEK, NOW)) for series in many(2).series]
    newest = [Batch((Slice(slice_.series, Window(NOW - 2 * WEEK, NOW)),)) for slice_ in wanted]
    pool, relative = PendingSlices(wanted), RelativeSeries([slice_.series for slice_ in wanted])
    pool.keep(relative.left(pool.slices(), newest, ()))
    for batch in newest:
        pool.take(batch.slices)
    relative.answered(newest[0], pool, is_relative=True)
    pool.add(newest[1].slices)
    relative.rejected(newest[1], pool)
    assert pool.slices() == wanted[1:]
