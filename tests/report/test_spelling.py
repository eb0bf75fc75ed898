"""Text filters that match nothing are named, once there is reason to."""

import asyncio
from datetime import timedelta

import pytest

from collector.report.status import status_document
from collector.report.warnings import SpellingCheck
from collector.store import ReadView
from tests.harness.factories import HOUR, NOW, batch, filtered, hours, profile, saved

WRONG = filtered("wrong", caOwner="Lets Encrypt")
(SERIES,) = WRONG.series
TWO_DAYS = hours(-24, 24)


async def warned(store, *profiles, now=NOW):
    return (await status_document(store, profiles, 600, now))["warnings"]


async def warnings(store, spelling, profiles, now):
    return await store.with_read_view(lambda view: spelling.warnings(view, profiles, now))


@pytest.mark.parametrize("values", [[0.0] * 48, []])
async def test_two_days_of_zeros_are_reported_as_a_misspelt_name(store, values):
    await store.activate_labels([WRONG], NOW)
    await saved(store, batch((SERIES.query, TWO_DAYS)), values, profiles=["wrong"])
    expected = 'wrong: Radar counted nothing in 2 days for ca_owner "Lets Encrypt"; is it spelt as Radar spells it?'
    assert await warned(store, WRONG) == [expected]


async def test_less_than_two_days_are_not(store):
    await store.activate_labels([WRONG], NOW)
    await saved(store, batch((SERIES.query, hours(-23, 24))), [0.0] * 47, profiles=["wrong"])
    assert await warned(store, WRONG) == []
    await saved(store, batch((SERIES.query, hours(24, 25))), [0.0], profiles=["wrong"], now=NOW + HOUR)
    assert len(await warned(store, WRONG, now=NOW + HOUR)) == 1


async def test_a_series_with_one_value_is_not_reported(store):
    await store.activate_labels([WRONG], NOW)
    await saved(store, batch((SERIES.query, TWO_DAYS)), [0.0] * 40 + [1.0] + [0.0] * 7, profiles=["wrong"])
    assert await warned(store, WRONG) == []


async def test_filters_with_listed_values_cannot_be_misspelt(store):
    few = filtered("few", signatureAlgorithm="RSA_MD2")
    await store.activate_labels([few, profile()], NOW)
    asked = batch((few.series[0].query, TWO_DAYS), (profile().series[0].query, TWO_DAYS))
    await saved(store, asked, [0.0] * 48, [0.0] * 48, profiles=["few", "all"])
    assert await warned(store, few, profile()) == []


async def test_each_series_is_checked_by_itself(store):
    by = profile("by", log=("argon", "agron"))
    await store.activate_labels([by], NOW)
    asked = batch(*((series.query, TWO_DAYS) for series in by.series))
    await saved(store, asked, [1.0] * 48, [0.0] * 48, profiles=["by"])
    (warning,) = await warned(store, by)
    assert warning.startswith("by/agron: ")


async def test_a_finding_is_checked_again_after_a_day_and_a_series_with_values_never(store, monkeypatch):
    right, spelling, read = filtered("right", tld="com"), SpellingCheck(), []
    empty = ReadView.empty

    def counted(view, queries):
        read.append(len(queries))
        return empty(view, queries)

    monkeypatch.setattr(ReadView, "empty", counted)
    await store.activate_labels([WRONG, right], NOW)
    asked = batch((SERIES.query, TWO_DAYS), (right.series[0].query, TWO_DAYS))
    await saved(store, asked, [0.0] * 48, [1.0] * 48, profiles=["wrong", "right"])
    for moment in (NOW, NOW + HOUR, NOW + timedelta(hours=23)):
        assert set(await warnings(store, spelling, [WRONG, right], moment)) == {"wrong"}
    assert read == [2]
    await saved(store, batch((SERIES.query, hours(0, 24))), [2.0] * 24, now=NOW + HOUR, profiles=["wrong"])
    assert await warnings(store, spelling, [WRONG, right], NOW + timedelta(days=1)) == {}
    assert await warnings(store, spelling, [WRONG, right], NOW + timedelta(days=2)) == {}
    assert read == [2, 1]


async def test_zeros_that_come_between_two_reads_are_no_values(store, monkeypatch):
    loop = asyncio.get_running_loop()

    def come_after(method):
        def read(view, *arguments):
            found = method(view, *arguments)
            monkeypatch.undo()
            zeros = saved(store, batch((SERIES.query, TWO_DAYS)), [0.0] * 48, profiles=["wrong"])
            asyncio.run_coroutine_threadsafe(zeros, loop).result(60)
            return found

        return read

    spelling = SpellingCheck()
    await store.activate_labels([WRONG], NOW)
    for name in ("newest_buckets", "empty"):
        monkeypatch.setattr(ReadView, name, come_after(getattr(ReadView, name)))
    await warnings(store, spelling, [WRONG], NOW)
    assert set(await warnings(store, spelling, [WRONG], NOW + HOUR)) == {"wrong"}
