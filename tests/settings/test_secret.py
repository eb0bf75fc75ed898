import pytest

from collector.settings import Credentials, Secret


def test_a_secret_shows_nothing_until_it_is_revealed():
    secret = Secret("s3cret-text")
    assert [str(secret), repr(secret), f"{secret}", repr([secret])] == ["***"] * 3 + ["[***]"]
    assert secret.reveal() == "s3cret-text"


def test_equal_secrets_are_equal_and_hash_alike():
    assert Secret("a") == Secret("a") != Secret("b")
    assert {Secret("a"), Secret("a")} == {Secret("a")}
    assert Secret("a") != "a"


@pytest.mark.parametrize(
    ("headers", "credentials"),
    [
        ({"Authorization": "Bearer t0ken"}, Credentials(token=Secret("t0ken"))),
        ({"X-Auth-Email": "me@example.com", "X-Auth-Key": "k3y"}, Credentials(None, "me@example.com", Secret("k3y"))),
    ],
)
def test_credentials_become_headers(headers, credentials):
    assert credentials.headers() == headers


def test_credentials_show_nothing():
    assert repr(Credentials(None, "me@example.com", Secret("k3y"))) == "Credentials(***)"
