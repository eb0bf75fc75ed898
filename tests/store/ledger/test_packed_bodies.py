"""Bodies as they are kept, and the questions beside them."""

import json
import random
import zlib

import pytest

from collector.interval import AggInterval
from collector.model import Batch, Question, Slice
from collector.store.ledger.bodies import MOST_BYTES, Stored, pack, read_question, surplus, unpack, write_question
from collector.text import EXCERPT_BYTES, excerpt
from tests.harness.factories import hours

NOISE = random.Random(5).randbytes(MOST_BYTES + 100_000)
META = b'{"lastUpdated": "2026-01-01T00:00:00Z", "note": "\xff}{\\""}'


@pytest.mark.parametrize("content", [b"", b"{", b"\0\xff" * 500, b" " * 10_000_000, NOISE[:1_000_000]], ids=len)
def test_a_body_comes_back_as_it_was(content):
    packed = pack(content)
    assert packed.whole
    assert len(packed.data) <= MOST_BYTES
    assert unpack(packed.data, len(content)) == content


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (NOISE, NOISE[:EXCERPT_BYTES]),
        (NOISE + b'"meta" : ' + META + NOISE, NOISE[:EXCERPT_BYTES] + b'\n"meta": ' + META),
        (b'{"meta": ' + META + NOISE, (b'{"meta": ' + META + NOISE)[:EXCERPT_BYTES]),
        (NOISE + b'"meta":{"a":' + b"[" * 500_000, NOISE[:EXCERPT_BYTES] + b'\n"meta": ' + b'{"a":' + b"[" * 262_139),
    ],
    ids=["no meta", "meta behind", "meta in front", "meta without an end"],
)
def test_of_a_large_body_meta_and_its_beginning_are_kept(content, kept):
    packed = pack(content)
    assert not packed.whole
    assert unpack(packed.data, len(content)) == excerpt(content) == excerpt(kept) == kept


def test_a_part_of_a_body_is_never_whole():
    assert not pack(b"{}", whole=False).whole


@pytest.mark.parametrize(
    ("data", "size"),
    [(zlib.compress(b"x" * 101), 100), (zlib.compress(b"x" * 100)[:-1], 100), (b"nonsense", 100), (b"", 0)],
    ids=["longer than it was", "cut", "no stream", "empty"],
)
def test_a_kept_body_that_is_not_what_it_was_is_refused(data, size):
    with pytest.raises(ValueError, match=r"length|incorrect header"):
        unpack(data, size)


QUESTION = Batch(
    tuple(
        Slice(Question(AggInterval.ONE_HOUR, filters), hours(start, start + 4))
        for filters in ({}, {"caOwner": ("DigiCert, Inc.", 'a"b\u2028')}, {"tld": ("de",), "uniqueEntries": ("true",)})
        for start in (0, 4)
    )
)


def test_a_question_comes_back_with_its_filters_and_windows_in_order():
    assert read_question(write_question(QUESTION)) == QUESTION


def test_a_question_that_is_damaged_is_refused():
    text = write_question(QUESTION)
    for damaged in (text.replace("DigiCert", "DigiCart"), text[:-1], "{}", "[]", "null", '{"series":{},"slices":[]}'):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the reason
            read_question(damaged)
    document = json.loads(text)
    assert all("digest" not in one for one in document["series"].values())


def rows(*kinds, stored=1):
    """The bodies of so many fetches, by their kinds."""
    return [Stored(number, kind, stored) for number, kind in enumerate(kinds, start=1)]


@pytest.mark.parametrize(
    ("gone", "kept", "most", "of_a_kind"),
    [
        ([], rows("a", "b", "a"), 3, 2),
        ([2, 1], rows("a", "a", "b", "a", "a"), 9, 2),
        ([1, 2], rows("a", "a", "b", "a"), 2, 9),
        ([1, 2], rows("a", "b", "a", "b", "a"), 3, 9),
        ([2, 1], rows("a", "b", "b"), 1, 9),
        ([1], [*rows("a", stored=5), Stored(2, "b", 3)], 4, 9),
        ([], [], 0, 1),
    ],
)
def test_the_oldest_go_first_and_the_newest_of_each_kind_last(gone, kept, most, of_a_kind):
    assert surplus(kept, most, of_a_kind) == gone


def test_a_question_of_another_series_is_another_question():
    (first, *_) = QUESTION.slices
    other = first._replace(series=Question(AggInterval.ONE_DAY, {}))
    assert read_question(write_question(Batch((other,)))) != Batch((first,))
