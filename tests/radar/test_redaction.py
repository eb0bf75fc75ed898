"""Our credentials are removed from every body."""

import pytest

from collector.radar.classify import redact, spellings
from collector.radar.errors import Refused, Unavailable, Untrusted

SECRET = 'v1.0/canary"token+0123456789'
UNKNOWN = "a series … that was not requested"
HTML = "with text/html instead of an answer"
SECRETS = spellings([f"Bearer {SECRET}", "someone@example.org", "short"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f'{{"you sent": "Bearer {SECRET}"}}', '{"you sent": "Bearer ***"}'),
        ('{"t": "v1.0/canary\\"token+0123456789"}', '{"t": "***"}'),
        ('{"t": "v1.0\\/canary\\"token+0123456789"}', '{"t": "***"}'),
        ("?t=v1.0%2Fcanary%22token%2B0123456789&u=1", "?t=***&u=1"),
        ("someone@example.org someone%40example.org", "*** ***"),
        ("a short text", "a short text"),
    ],
    ids=["as it is", "escaped", "with an escaped slash", "in an address", "e-mail", "too short to be a secret"],
)
def test_credentials_are_masked_however_they_are_written(content, expected):
    assert redact(content.encode(), SECRETS) == expected.encode()


def test_a_partial_secret_at_the_end_of_a_partial_body_is_removed():
    for length in range(1, len(SECRET)):
        assert redact(f"before {SECRET[:length]}".encode(), SECRETS, whole=False) == b"before "
    assert redact(f"before {SECRET[:5]}".encode(), SECRETS) == f"before {SECRET[:5]}".encode()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("untrusted: N timestamps but N values", Untrusted("23 timestamps but 24 values")),
        (f"untrusted: {UNKNOWN}", Untrusted("a series 'x7' that was not requested")),
        (f"untrusted: {UNKNOWN}", Untrusted(f"a series '{'y' * 39}… that was not requested")),
        ("untrusted: not JSON: line N column N (char N)", Untrusted("not JSON: line 1 column 2 (char 1)")),
        ("refused: HTTP 400, code 2001", Refused("HTTP 400: too fine for 42 days", status=400, code=2001)),
        ("unavailable: HTTP 503", Unavailable(f"HTTP 503 {HTML}", status=503)),
        (f"unavailable: HTTP N {HTML}", Unavailable(f"HTTP 200 {HTML}", status=200)),
    ],
    ids=["numbers", "a name", "a name that is cut", "a place", "status and code", "status", "an answer"],
)
def test_similar_errors_have_one_kind_whatever_they_quote(kind, error):
    assert error.kind == kind
