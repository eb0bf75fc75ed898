"""The fast way of reading an answer returns what the other way returns, or leaves the answer to it."""

import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.radar import response_points
from collector.radar.errors import RadarError, Untrusted
from collector.radar.response import Deviations, parse_answer, parse_any
from collector.radar.response_points import folded, parse_answer_time, parse_timestamps, parse_values
from collector.radar.response_usual import parse_usual
from tests.faults import test_fuzz_answers as fuzz

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = 900
BUCKETS = 40


def batch_of(series=1, buckets=BUCKETS, weeks_apart=0):
    step = timedelta(seconds=STEP)
    starts = [START + timedelta(weeks=weeks_apart * number) for number in range(series)]
    windows = [Window(start, start + buckets * step) for start in starts]
    questions = [Question(AggInterval.FIFTEEN_MINUTES, {"caOwner": (str(n),)}) for n in range(series)]
    return Batch(tuple(map(Slice, questions, windows)))


def document(batch, values=None):
    """An answer of the documented form; *values* are the texts of every series."""
    content = fuzz._document(batch)
    for name in content["result"]:
        if values and name != "meta":
            content["result"][name]["values"] = values
    return content


def written(content):
    return json.dumps(content, separators=(",", ":")).encode()


def comparable(answer):
    """All of an answer as text, which tells -0 from 0 and 1 from 1.0."""
    return repr([answer[:1], [([*one.timestamps], [*one.values]) for one in answer.series], answer.deviations])


def check(body, batch):
    """Whether *body* is read the fast way; if so, it must be read alike both ways."""
    fast = parse_usual(body, batch)
    if fast is None:
        return False
    assert comparable(fast) == comparable(parse_any(body, batch))
    assert fast.missing == frozenset()
    return True


# What is read the fast way


def without_some(dice, series, count):
    for at in sorted(dice.sample(range(len(series["timestamps"])), count), reverse=True):
        del series["timestamps"][at], series["values"][at]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("missing", [0, 1, 3, 20, 39, 40])
@pytest.mark.parametrize("series", [1, 3])
def test_an_answer_of_the_documented_form_is_read_the_fast_way(series, missing, separators):
    batch, dice = batch_of(series), random.Random(missing)
    for _ in range(20):
        content = document(batch)
        for name in ("serie_0", "serie_1", "serie_2")[:series]:
            without_some(dice, content["result"][name], missing)
        assert check(json.dumps(content, separators=separators).encode(), batch)


@pytest.mark.parametrize("cut", [slice(1, None), slice(-1), slice(5, 30), slice(7, 8)])
def test_buckets_at_either_end_may_be_missing(cut):
    batch = batch_of()
    content = document(batch)
    for array in content["result"]["serie_0"].values():
        array[:] = array[cut]
    assert check(written(content), batch)


@pytest.mark.parametrize("order", [["serie_1", "meta", "serie_0"], ["serie_0", "serie_1", "meta"]])
@pytest.mark.parametrize("weeks_apart", [0, 1])
def test_series_may_come_in_any_order(order, weeks_apart):
    batch = batch_of(2, weeks_apart=weeks_apart)
    content = document(batch)
    content["result"] = {name: content["result"][name] for name in order}
    assert check(written(content), batch)


@pytest.mark.parametrize(
    "values",
    [
        ["5"] * BUCKETS,
        ["-0", "-1", "0"] + ["1.5"] * (BUCKETS - 3),
        ["1.4e-05", "1E+3", "0e5"] + ["1"] * (BUCKETS - 3),
        [None, "1.4e-05", None] + ["7"] * (BUCKETS - 3),
        [None] * BUCKETS,
        [repr(2 / 3), repr(2e-5 / 3)] + ["9007199254740991"] * (BUCKETS - 2),
    ],
    ids=["counts", "signs", "exponents", "nulls", "nothing but nulls", "many digits"],
)
def test_exact_values_and_nulls_are_read_the_fast_way(values):
    batch = batch_of()
    assert check(written(document(batch, values)), batch)


def test_remarks_may_contain_commas_and_escapes():
    batch = batch_of()
    content = document(batch)
    remark = content["result"]["meta"]["confidenceInfo"]["annotations"][0]
    remark["description"] = 'A log, "X", went away \u2603: \\ [1,2], {"a":1}'
    remark["tags"] = [{"a": [1, None, True]}, "b,c"]
    assert check(written(content), batch)


# What is left to the other way


def changed(old, new, count=1):
    text = written(document(batch_of())).decode()
    assert old in text
    return text.replace(old, new, count).encode()


COMPLETE = json.dumps(document(batch_of())["result"]["serie_0"]["timestamps"], separators=(",", ":"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"errors":[]', '"errors":[],"errors":[]'),
        ('"success":true', '"success":false,"success":true'),
        ('"level":5', '"level":4,"level":5'),
        ('"level":5', '"level":4,"leve\\u006c":5'),
        ('"level":5', '"level":{"a":[]},"level":5'),
        ('"serie_0":', '"serie_0":{},"serie_0":'),
        ('"values":', '"values":[],"values":'),
        ('"timestamps":', '"timestamps":[],"timestamps":'),
        ('"timestamps":', f'"timestamps":{COMPLETE},"timestamps":'),
        ('"description":', '"description":"\\u002c","description":'),
        ('"description":', '"description":"\\u002C\\u002c","description":'),
    ],
)
def test_equal_keys_are_found(old, new):
    body = changed(old, new)
    assert parse_usual(body, batch_of()) is None
    with pytest.raises(Untrusted, match="two equal keys"):
        parse_answer(body, batch_of())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"level":5', '"level":5.0'),
        ('"level":5', '"level":5,"extra":18446744073709551616'),
        ('"level":5', '"level":5,"extra":[1,[1e20]]'),
        ('"level":5', '"level":5,"extra":' + "[" * 300 + "]" * 300),
        ('"level":5', '"level":5,"extra":"timestamps of slice 0"'),
        ('"level":5', '"level":5,"extra":{"timestamps":' + COMPLETE + "}"),
        ('"success":true,', ""),
        ('"aggInterval"', '"interval"'),
        ('"serie_0"', '"Serie_0"'),
        ('"values":["1"', '"values":[1'),
        ('"values":["1"', '"values":["1.0,2"'),
        ('"values":["1"', '"values":["[1"'),
        ('"values":["1"', '"values":["true"'),
        ('"values":["1"', '"values":["007"'),
        ('"values":["1"', '"values":["9007199254740992"'),
        ('"values":["1"', '"values":["1e-400"'),
        ('"values":["1"', '"values":["0.' + "1" * 30 + '"'),
        (COMPLETE[:23], '["2026-03-02T00:00:00+00:00"'),
        (COMPLETE[:23], "[null"),
        (COMPLETE[:23], "[" + COMPLETE[24:46]),
        (COMPLETE, '["timestamps of slice 0"]'),
        (COMPLETE, '["\\u0074imestamps of slice 0"]'),
    ],
)
def test_anything_else_is_left_to_the_other_way(old, new):
    body = changed(old, new)
    assert parse_usual(body, batch_of()) is None
    outcomes = []
    for parse in (parse_answer, parse_any):
        try:
            outcomes.append(comparable(parse(body, batch_of())))
        except RadarError as error:
            outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


def test_a_body_cannot_contain_what_replaces_timestamps():
    batch = batch_of(2)
    content = document(batch)
    content["result"]["serie_1"]["timestamps"] = ["timestamps of slice 0"]
    for order in (["meta", "serie_0", "serie_1"], ["serie_1", "serie_0", "meta"]):
        body = written({**content, "result": {name: content["result"][name] for name in order}})
        assert parse_usual(body, batch) is None


def test_timestamps_inside_of_a_text_do_not_make_it_valid():
    text = '"timestamps":' + COMPLETE
    for body in (changed('"level":5', f'"level":5,"extra":"{text}"'), changed('"level":5', f'"level":5{text}')):
        assert parse_usual(body, batch_of()) is None
        with pytest.raises(Untrusted, match="not JSON"):
            parse_answer(body, batch_of())


def test_a_window_of_another_series_is_not_taken_for_its_own():
    batch = batch_of(2, weeks_apart=1)
    content = document(batch)
    result = content["result"]
    result["serie_0"], result["serie_1"] = result["serie_1"], result["serie_0"]
    assert parse_usual(written(content), batch) is None
    with pytest.raises(Untrusted, match="outside"):
        parse_answer(written(content), batch)


def test_a_large_body_is_left_to_the_other_way():
    batch = batch_of()
    content = document(batch)
    content["messages"] = ["x" * 600_000]
    assert parse_usual(written(content), batch) is None
    assert parse_answer(written(content), batch).deviations == ()


# Both ways over mutated answers


@pytest.mark.parametrize("which", range(len(fuzz.BATCHES)))
def test_mutated_answers_are_read_alike_both_ways(which):
    dice, fast = random.Random(which), 0
    compact = written(json.loads(fuzz.TEXTS[which])).decode()
    for _ in range(600):
        body = dice.choice(fuzz._KINDS)(dice, dice.choice((fuzz.TEXTS[which], compact)))
        if dice.random() < 0.5:
            body = body.replace(b", ", b",").replace(b": ", b":")
        try:
            fast += check(body, fuzz.BATCHES[which])
        except RadarError as error:
            raise AssertionError(f"{body!r} is read the fast way, but rejected: {error}") from error
    assert fast > 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["errors", "level", "tags", "description", "units", "lastUpdated"]), st.booleans())
@settings(max_examples=150)
def test_any_content_beside_the_series_is_read_alike_both_ways(inner, key, ensure_ascii):
    batch = batch_of()
    content = document(batch)
    meta = content["result"]["meta"]
    remark = meta["confidenceInfo"]["annotations"][0]
    places = {"errors": content, "level": meta["confidenceInfo"], "tags": remark, "description": remark}
    places.get(key, meta)[key] = inner
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=ensure_ascii)
    check(text.encode("utf-8", "surrogatepass"), batch)


# Each step, all at once and one by one

NUMBERS = st.one_of(
    st.integers(-(2**54), 2**54).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.from_regex(re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII), fullmatch=True),
)
ODD = st.sampled_from(
    [
        *(
            "",
            " 1",
            "1 ",
            "1,2",
            "[1",
            "2]",
            '"a',
            'b"',
            "{",
            "}",
            "true",
            "false",
            "null",
            "NaN",
            "1e999",
            "1e-400",
            "-0",
        ),
        *("\ud800", "\u0661", "1\n2", "e", "1e", ".5", "5.", "+5", None, 1, 1.5, True, [], {}, "4.9e-324", "1e-310"),
    ]
)


def one_by_one(contents):
    deviations = Deviations()
    values = [response_points._value(content, deviations) for content in contents]
    unreadable = sum(value is None and content is not None for value, content in zip(values, contents, strict=True))
    return repr((values, unreadable, deviations.kinds))


def all_at_once(contents):
    deviations = Deviations()
    values, unreadable = parse_values(contents, deviations)
    return repr(([*values], unreadable, deviations.kinds))


def outcome(parse, *arguments):
    try:
        return parse(*arguments)
    except RadarError as error:
        return repr(error)


@given(st.lists(NUMBERS, max_size=8) | st.lists(NUMBERS | st.none(), max_size=8) | st.lists(NUMBERS | ODD, max_size=6))
@settings(max_examples=500)
def test_values_are_parsed_alike_all_at_once_and_one_by_one(contents):
    assert outcome(all_at_once, contents) == outcome(one_by_one, contents)


def decimals(dice, exponent):
    """A thousand texts of at most 15 characters."""
    wholes = [f"{dice.randrange(10 ** dice.randrange(1, 6))}" for _ in range(1_000)]
    return [f"{whole}.{dice.randrange(10 ** dice.randrange(1, 6))}{exponent}" for whole in wholes]


@pytest.mark.parametrize("exponent", ["", "e-05", "e+3", "E-10"])
def test_fifty_thousand_decimals_become_the_nearest_doubles(exponent):
    dice = random.Random(exponent)
    for _ in range(50):
        texts = decimals(dice, exponent)
        assert response_points.parse_exact_values(texts) == [*map(float, texts)]


@given(
    st.lists(st.sampled_from(json.loads(COMPLETE)), max_size=12), st.lists(st.sampled_from([None, 5, "x"]), max_size=1)
)
def test_timestamps_of_the_usual_form_are_parsed_alike_by_look_up_and_one_by_one(texts, odd):
    window, contents = batch_of().windows[0], texts + odd
    slowly = [text if not isinstance(text, str) else text.replace("Z", "+00:00") for text in contents]

    def parse(given_texts):
        deviations = Deviations()
        return [*parse_timestamps(given_texts, window, STEP, deviations)], deviations.kinds

    assert outcome(parse, contents) == outcome(parse, slowly)


@given(st.text() | st.text("aZ09_- .é\u0130ß\u0661", max_size=12))
def test_words_are_folded_alike(word):
    assert folded(word) == "".join(character for character in word.casefold() if character.isalnum())


@given(
    st.from_regex(
        re.compile(r"[0-9]{4}-[0-3][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z", re.ASCII), fullmatch=True
    )
)
def test_a_time_of_the_usual_form_is_parsed_as_the_same_time_with_an_offset(text):
    assert parse_answer_time(text) == parse_answer_time(text.replace("Z", "+00:00")) == parse_answer_time(f" {text}")
