from __future__ import annotations

from datetime import timedelta

import pytest

from collector.contract.request_parser import parse_request
from collector.datasets import DEFAULT
from collector.model import Slice
from collector.radar.errors import RateLimited, Refused, TooCostly, Unauthorized, Unavailable, Untrusted
from collector.serve.radar_api.answer import NotStored, answer_query
from collector.serve.radar_api.parameters import HistoryRules, parse_query
from collector.serve.radar_api.routes import missing_slices, upstream_error
from tests.harness.factories import DAY, HOUR, NOW, batch, hours, query, saved

ASKED = "dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T23:45:00Z&aggInterval=1h"


def _question(raw_query, now=NOW):
    return parse_query(DEFAULT, raw_query, now.timestamp()).request


def test_without_an_answer_all_buckets_are_missing():
    assert missing_slices(_question(ASKED), None, NOW) == [Slice(query(), hours(0, 24))]


def test_a_bucket_that_has_not_closed_is_not_missing():
    assert missing_slices(_question(ASKED), None, DAY + HOUR * 5.5) == [Slice(query(), hours(0, 5))]
    assert missing_slices(_question(ASKED), None, DAY) == []


def test_a_series_that_is_requested_twice_is_filled_once():
    pairs = [("name", "a"), ("name", "b"), ("tld", "com"), ("tld", "com")]
    assert len(missing_slices(parse_request(DEFAULT, pairs, HistoryRules(), 9e8), None, NOW)) == 1


@pytest.mark.parametrize(("stored", "lacks"), [(range(24), 0), ([1.0] * 23, 1), ({1: 1, 3: 1}, 1)])
async def test_a_complete_answer_needs_no_slice_and_any_missing_bucket_does(store, stored, lacks):
    stored = stored if isinstance(stored, dict) else dict(enumerate(stored))
    await saved(store, batch((query(), hours(0, 24))), stored)
    local = parse_query(DEFAULT, ASKED, NOW.timestamp())
    try:
        answered = await answer_query(store, local)
    except NotStored as refused:
        answered = refused.result
    assert len(missing_slices(local.request, answered, NOW)) == lacks


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RateLimited("secret", not_before=NOW + timedelta(seconds=90)), 429),
        (TooCostly("secret"), 422),
        (Refused("secret"), 400),
        (Unavailable("https://host/secret"), 502),
        (Untrusted("secret"), 502),
        (Unauthorized("secret"), 502),
    ],
)
def test_an_error_does_not_contain_radars_text(error, status):
    refused = upstream_error(error, NOW)
    assert refused.error_code.status == status
    assert "secret" not in refused.message
    assert refused.retry_after == ("90" if status == 429 else None)
