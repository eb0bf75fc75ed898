"""What a request by a dimension is answered from: what is known of each group, and what must be refused."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collector.contract.group_parser import SERIES, SUMMARY, GroupsPlace
from collector.contract.response import ApiError
from collector.datasets import DEFAULT
from collector.interval import AggInterval, Grid
from collector.model import Answer, GroupedPoints, Meta, Points, Question, Remainder
from collector.serve.radar_api import query_groups, query_history
from tests.harness.factories import DAY, HOUR, NOW, at, batch, hours, profile, query, saved, start_fetch
from tests.store.write.test_snapshots import taken

RANGE = "aggInterval=1h&dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T03:00:00Z"
FOUR = [f"2026-04-30T0{hour}:00:00Z" for hour in range(4)]


def by(dimension="CA_OWNER", normalization="", **filters):
    filtered = query(**filters)
    return Question(filtered.agg_interval, filtered.filters, dimension=dimension, normalization=normalization)


async def keep(store, question, groups, others=None, *, now=NOW):
    """Save an answer about the first hours of the day: the values of each group by hour, and what is left."""
    asked, left = batch((question, hours(0, 4))), others or {}
    present = [hour for hour in range(4) if any(hour in values for values in groups.values())]
    whole = [float(sum(values.get(hour, 0) for values in groups.values()) + left.get(hour, 0)) for hour in present]
    columns = {
        name: Points([at(hour) for hour in values], [float(value) for value in values.values()])
        for name, values in groups.items()
    }
    smallest = min(sum(values.values()) for values in groups.values())
    remainders = {at(hour): Remainder(float(other), float(smallest)) for hour, other in left.items()}
    points = GroupedPoints([at(hour) for hour in present], whole, columns, remainders)
    window = asked.slices[0].window
    updated = DAY + 24 * HOUR
    normalization = question.normalization or "RAW_VALUES"
    meta = Meta(asked.agg_interval, updated, normalization, "*", 5, ((window.start, window.end),), ())
    fetch_id = await start_fetch(store, asked, now)
    await store.save(fetch_id, asked, Answer(meta, (points,)), now, 100)


def hourly(*values):
    return dict(enumerate(values))


@pytest.fixture
async def owners(store):
    """A and B are listed in all hours, C in the first two; something is left in the hours 1 and 2."""
    await store.activate_labels([profile("owners", dimension="CA_OWNER")], NOW)
    groups = {"A": hourly(50, 40, 30, 20), "B": hourly(5, 0, 6, 7), "C": hourly(1, 2)}
    await keep(store, by(), groups, {1: 9, 2: 11})
    return store


async def text(store, more="", dimension="CA_OWNER", folder=SERIES):
    result = await query_groups(store, GroupsPlace(DEFAULT, folder, dimension), f"{RANGE}{more}", NOW)
    return "".join(result.chunks())


async def answer(store, more="", dimension="CA_OWNER", folder=SERIES):
    return json.loads(await text(store, more, dimension, folder))["result"]


async def refusal(store, more="", dimension="CA_OWNER", folder=SERIES):
    with pytest.raises(ApiError) as refused:
        await text(store, more, dimension, folder)
    return refused.value.error_code.status, refused.value.message


async def test_a_group_that_is_unknown_in_some_bucket_is_part_of_what_is_left(owners):
    result = await answer(owners)
    assert result["serie_0"] == {
        "timestamps": FOUR,
        "A": ["50", "40", "30", "20"],
        "B": ["5", "0", "6", "7"],
        "other": ["1", "11", "11", "0"],
    }
    assert (result["meta"]["aggInterval"], result["meta"]["normalization"]) == ("ONE_HOUR", "RAW_VALUES")


async def test_a_group_is_listed_where_it_is_known_and_has_nothing_where_nothing_is_left(owners):
    early = await query_groups(owners, GroupsPlace(DEFAULT, SERIES, "CA_OWNER"), RANGE.replace("T03", "T01"), NOW)
    assert early.series[0].listed == {"A": [50, 40], "B": [5, 0], "C": [1, 2]}
    await keep(owners, by(), {"A": hourly(50, 40, 30, 20), "C": hourly(1, 2)}, now=NOW + HOUR)
    assert (await answer(owners))["serie_0"] == {
        "timestamps": FOUR,
        "A": ["50", "40", "30", "20"],
        "C": ["1", "2", "0", "0"],
    }


async def test_the_largest_groups_of_the_range_are_listed_and_the_rest_is_other(owners):
    await keep(owners, by(), {"A": hourly(9, 9, 9, 9), "B": hourly(1, 8, 8, 8), "C": hourly(3, 4)}, now=NOW + HOUR)
    result = (await answer(owners, "&limitPerGroup=2"))["serie_0"]
    assert [*result] == ["timestamps", "A", "B", "other"]
    assert result["other"] == ["3", "4", "0", "0"]
    assert "C" in (await answer(owners, "&limitPerGroup=3"))["serie_0"]


async def test_a_summary_has_one_number_for_each_group(owners):
    result = await answer(owners, folder=SUMMARY, more="&normalization=PERCENTAGE")
    assert "aggInterval" not in result["meta"]
    assert result["meta"]["normalization"] == "PERCENTAGE"
    assert result["meta"]["dateRange"] == [{"startTime": FOUR[0], "endTime": FOUR[3]}]
    assert result["summary_0"] == {"A": "77.348066", "B": "9.944751", "other": "12.707182"}


async def test_positions_that_must_be_answered_in_different_ways_are_one_answer(owners):
    named = await answer(owners, "&name=a&name=b&caOwner=&caOwner=A,B")
    assert [*named] == ["meta", "a", "b"]
    assert "other" in named["a"]
    assert "other" not in named["b"]
    assert len(named["meta"]["dateRange"]) == 2
    assert (await refusal(owners, "&name=a&name=b&caOwner=&caOwner=A,E"))[1].startswith("b: ")


async def test_csv_has_a_column_for_each_group(owners):
    lines = (await text(owners, "&format=csv")).splitlines()
    assert lines[:2] == ["Serie_0 timestamps,Serie_0 A,Serie_0 B,Serie_0 other", "2026-04-30T00:00:00Z,50,5,1"]
    assert await text(owners, "&format=CSV", folder=SUMMARY) == "Summary_0 A,Summary_0 B,Summary_0 other\n140,18,23\n"


async def test_a_filter_by_the_dimension_chooses_groups_that_are_known(owners):
    result = (await answer(owners, "&caOwner=B,A&normalization=PERCENTAGE"))["serie_0"]
    assert result["B"] == ["9.090909", "0", "16.666667", "25.925926"]
    assert "other" not in result
    status, reason = await refusal(owners, "&caOwner=A,C")
    assert (status, reason.startswith("'C' is not known in every bucket of the range")) == (404, True)
    assert (await refusal(owners, "&caOwner=A,D"))[0] == 404


async def test_the_parts_of_an_or_are_added_up(store):
    for duration, counts in (("LTE_3D", (1, 2, 3, 4)), ("GT_200D", (10, 20, 30, 40))):
        await keep(store, by(duration=duration), {"A": hourly(*counts), duration: hourly(7, 7, 7, 7)})
    result = (await answer(store, "&duration=GT_200D,LTE_3D"))["serie_0"]
    assert result["A"] == ["11", "22", "33", "44"]
    assert result["LTE_3D"] == ["7", "7", "7", "7"]


async def test_shares_that_were_collected_are_answered_as_they_are(store):
    shares = {"A": hourly(60.5, 70, 80, 90), "B": hourly(30, 20, 10, 10)}
    await keep(store, by(normalization="PERCENTAGE"), shares, {0: 9.5, 1: 10, 2: 10})
    result = (await answer(store, "&normalization=PERCENTAGE"))["serie_0"]
    assert (result["A"], result["other"]) == (["60.5", "70", "80", "90"], ["9.5", "10", "10", "0"])
    assert (await refusal(store))[0] == 404
    status, reason = await refusal(store, "&normalization=PERCENTAGE", folder=SUMMARY)
    assert (status, "do not add up over the range" in reason) == (400, True)


async def test_groups_that_have_more_than_the_whole_are_refused(owners):
    revised = {"A": hourly(50, 1, 30, 20), "D": hourly(1, 1, 1, 1)}
    await keep(owners, by(), revised, {0: 2, 1: 2, 2: 2, 3: 2}, now=NOW + HOUR)
    await keep(owners, by(), {"A": hourly(50, 1, 30, 20)}, {0: 1, 1: 1, 2: 1, 3: 1}, now=NOW + 2 * HOUR)
    status, reason = await refusal(owners)
    assert (status, "2026-04-30T00:00:00Z have more than all together" in reason) == (400, True)


async def test_a_missing_bucket_is_left_out_and_refused_in_a_sum(store):
    await keep(store, by(), {"A": {0: 1, 2: 3, 3: 4}})
    document = json.loads(await text(store))
    assert document["result"]["serie_0"] == {"timestamps": [FOUR[0], *FOUR[2:]], "A": ["1", "3", "4"]}
    assert document["messages"][0]["message"].startswith("serie_0: 1h buckets absent: 2026-04-30T01:00:00Z")
    status, reason = await refusal(store, folder=SUMMARY)
    assert (status, reason.startswith("The sum over the range is not known: summary_0: 1h buckets absent")) == (
        404,
        True,
    )


async def test_single_series_of_every_value_make_groups(store):
    keys = ("DSA", "ECDSA", "RSA")
    asked = batch(*((query(publicKeyAlgorithm=key), hours(0, 4)) for key in keys))
    await saved(store, asked, [0, 0, 0, 0], {0: 1, 2: 3, 3: 4}, [9, 9, 9, 9], profiles=("keys",))
    document = json.loads(await text(store, dimension="PUBLIC_KEY_ALGORITHM"))
    assert document["result"]["serie_0"] == {
        "timestamps": [FOUR[0], *FOUR[2:]],
        "RSA": ["9", "9", "9"],
        "ECDSA": ["1", "3", "4"],
        "DSA": ["0", "0", "0"],
    }
    assert document["messages"][0]["message"].startswith("serie_0: 1h buckets absent")
    assert (await refusal(store, dimension="DURATION"))[0] == 404


async def test_without_history_the_error_names_the_nearest_profiles(owners):
    status, reason = await refusal(owners, "&hasIps=true")
    expected = (
        "There is no history for groups of CA_OWNER with hasIps = true; the nearest profiles are 'owners' (1h, gro"
    )
    assert (status, reason[: len(expected)]) == (404, expected)
    with pytest.raises(ApiError, match="aggInterval 15m is too granular: history for these filters is kept at 1h"):
        await query_groups(owners, GroupsPlace(DEFAULT, SERIES, "CA_OWNER"), RANGE.replace("1h", "15m", 1), NOW)


async def test_unique_certificates_are_not_summed_over_a_range(store):
    await keep(store, by(uniqueEntries="true"), {"A": hourly(1, 2, 3, 4)})
    assert (await answer(store, "&uniqueEntries=true"))["serie_0"]["A"] == ["1", "2", "3", "4"]
    status, reason = await refusal(store, "&uniqueEntries=true", folder=SUMMARY)
    assert (status, "cannot be summed over the range" in reason) == (400, True)


async def test_groups_on_a_former_grid_are_answered_there(owners):
    whole = await answer(owners)
    await owners.move_grid(Grid(AggInterval.ONE_HOUR, timedelta(minutes=30)), NOW + HOUR)
    assert await answer(owners) == whole


async def test_what_was_known_then_is_answered(owners):
    await keep(owners, by(), {"A": hourly(50, 40, 30, 20), "C": hourly(1, 2)}, now=NOW + 2 * HOUR)
    place = GroupsPlace(DEFAULT, SERIES, "CA_OWNER")
    result = await query_groups(owners, place, f"{RANGE}&as_of=2026-05-01T13:00:00Z", NOW + 3 * HOUR)
    assert {**result.series[0].listed} == {"A": [50, 40, 30, 20], "B": [5, 0, 6, 7]}
    result = await query_groups(owners, place, RANGE, NOW + 3 * HOUR)
    assert {**result.series[0].listed} == {"A": [50, 40, 30, 20], "C": [1, 2, 0, 0]}


async def test_a_group_that_has_vanished_is_in_no_answer(store):
    await store.activate_labels([profile("owners", dimension="CA_OWNER")], NOW)
    await keep(store, by(), {"A": hourly(50, 40, 30, 20), "C": hourly(1, 2, 3, 4)})
    await keep(store, by(), {"A": hourly(50, 40, 30, 20), "C": {0: 1, 1: 2}}, now=NOW + 2 * HOUR)

    async def one(more="", values=None):
        result = await query_history(store, f"{RANGE}&caOwner=C{more}", NOW + 3 * HOUR)
        (data,) = result.series
        assert [*data.timestamps] == [at(hour) for hour in range(len(values))]
        return [*data.values] == values, result.absent

    place = GroupsPlace(DEFAULT, SERIES, "CA_OWNER")
    result = await query_groups(store, place, RANGE, NOW + 3 * HOUR)
    assert {**result.series[0].listed} == {"A": [50, 40, 30, 20], "C": [1, 2, 0, 0]}
    found, absent = await one(values=[1, 2])
    assert (found, [part.windows for part in absent]) == (True, [((at(2), at(4)),)])
    assert await one("&as_of=2026-05-01T13:00:00Z", [1, 2, 3, 4]) == (True, ())


async def test_snapshots_of_both_values_make_groups(store):
    asked_at = NOW.replace(microsecond=0)
    for word, count in (("EXPIRED", 1), ("VALID", 2)):
        snapshot = taken(*[count] * 4, asked_at=asked_at, of=query(expirationStatus=word))
        await store.save_snapshots([snapshot], asked_at)
    result = await answer(store, dimension="EXPIRATION_STATUS")
    assert result["serie_0"] == {"timestamps": FOUR, "VALID": ["2"] * 4, "EXPIRED": ["1"] * 4}
    assert result["meta"]["askedAt"] == ["2026-05-01T12:00:00Z"]
    assert (await refusal(store, dimension="EXPIRATION_STATUS", folder=SUMMARY))[0] == 400
    later = taken(3, 3, 3, 3, asked_at=asked_at + HOUR, of=query(expirationStatus="VALID"))
    await store.save_snapshots([later], asked_at + HOUR)
    assert "requested at different times" in (await refusal(store, dimension="EXPIRATION_STATUS"))[1]
