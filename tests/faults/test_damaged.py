"""Stores damaged in every way a disk, a copy or a person damages files: each change of what is known is found.

Nothing that looks at a damaged store changes a byte of it or ends in anything but a sentence.
"""

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import CollectorError
from collector.store import Store
from tests.harness.corruption import dumped, fill, findings

PAGE = 4096


def _flipped(dice, content):
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def _flipped_in_the_header(dice, content):
    content[dice.randrange(100)] ^= 1 << dice.randrange(8)


def _page(dice, content):
    return PAGE * dice.randrange(len(content) // PAGE)


def _zeroed(dice, content):
    at = _page(dice, content)
    content[at : at + PAGE] = bytes(PAGE)


def _random(dice, content):
    at = _page(dice, content)
    content[at : at + PAGE] = dice.randbytes(PAGE)


def _swapped(dice, content):
    one, other = _page(dice, content), _page(dice, content)
    first, second = bytes(content[one : one + PAGE]), bytes(content[other : other + PAGE])
    content[one : one + PAGE], content[other : other + PAGE] = second, first


def _written_elsewhere(dice, content):
    one, other = _page(dice, content), _page(dice, content)
    content[one : one + PAGE] = content[other : other + PAGE]


def _half_a_page(dice, content):
    """A sector of another page: a write that was torn."""
    one, other = _page(dice, content) + 512 * dice.randrange(8), _page(dice, content) + 512 * dice.randrange(8)
    content[one : one + 512] = content[other : other + 512]


def _cut(dice, content):
    del content[dice.randrange(len(content)) :]


def _cut_at_a_page(dice, content):
    del content[_page(dice, content) :]


def _shifted(dice, content):
    del content[(at := dice.randrange(len(content))) : at + dice.randrange(1, 100)]


def _emptied(_dice, content):
    content.clear()


def _overwritten(_dice, content):
    """By a text, as a careless redirection does it."""
    content[:] = b"timestamp,value\n" * 100


_WAYS = [_flipped] * 5 + [_flipped_in_the_header, _zeroed, _random, _swapped, _written_elsewhere]
_WAYS += [_half_a_page, _cut, _cut_at_a_page, _shifted, _emptied, _overwritten]


@pytest.fixture
async def store(sqlite_url):
    await fill(sqlite_url, weeks=1)
    return Path(sqlite_url.removeprefix("sqlite:///"))


async def _opened(path):
    """What a writer is told: nothing, or the sentence with which the store is refused as it is."""
    before = path.read_bytes()
    try:
        async with Store.open(f"sqlite:///{path}", owner="test"):
            return None
    except CollectorError as error:
        assert path.read_bytes() == before
        return str(error)


@pytest.mark.parametrize("count", [60, pytest.param(5_000, marks=pytest.mark.campaign)])
async def test_every_change_of_what_is_known_is_found_and_every_byte_kept(store, tmp_path, count, seed):
    good, content = dumped(store), store.read_bytes()
    dice, found = random.Random(seed), Counter()
    for number in range(count):
        way = dice.choice(_WAYS)
        damaged, spoilt = tmp_path / "damaged" / "damaged.db", bytearray(content)
        way(dice, spoilt)
        damaged.parent.mkdir()
        damaged.write_bytes(spoilt)
        told = f"store {number}: {way.__name__}"
        said, known = await findings(damaged), dumped(damaged)
        assert damaged.read_bytes() == spoilt, told
        assert said or known == good, told
        refused = await _opened(damaged)
        found["changed"] += known != good
        found["found"] += bool(said)
        found["refused to a writer"] += refused is not None
        shutil.rmtree(damaged.parent)
    print(f"{count} damaged stores: {dict(found)}")  # noqa: T201 - counts for the record
    assert found["found"] >= found["changed"] > count / 5


async def test_the_header_of_another_program_or_a_newer_version_is_told_apart(store):
    for statement, words in (
        ("PRAGMA application_id = 7", "another program"),
        ("UPDATE schema_revision SET version_num = '9999'", "revision 9999"),
    ):
        copy = Path(shutil.copy(store, store.with_name("copy.db")))
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute(statement)
        assert words in await _opened(copy)
