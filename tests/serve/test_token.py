from __future__ import annotations

import pytest
from multidict import CIMultiDict

from collector.serve.middleware import token_matches
from collector.settings import Secret

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (True, {"Authorization": f"Bearer {TOKEN}"}),
        (True, {"authorization": f"bearer {TOKEN}"}),
        (True, {"X-Auth-Key": TOKEN, "X-Auth-Email": "a@b.example"}),
        (True, {"X-Auth-Key": TOKEN}),
        (False, {}),
        (False, {"Authorization": TOKEN}),
        (False, {"Authorization": f"Basic {TOKEN}"}),
        (False, {"Authorization": "Bearer "}),
        (False, {"Authorization": f"Bearer {TOKEN}x"}),
        (False, {"Authorization": f"Bearer {TOKEN[:-1]}"}),
        (False, {"Authorization": "Bearer \udcff"}),
        (False, {"X-Auth-Email": TOKEN}),
        (False, {"X-Auth-Key": ""}),
    ],
)
def test_only_the_token_is_accepted(expected, headers):
    assert token_matches(CIMultiDict(headers), Secret(TOKEN)) is expected
