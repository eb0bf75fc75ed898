import pytest

from collector.errors import UsageError
from collector.store.location import locate


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ("/data/collector.db", "sqlite:////data/collector.db"),
        ("postgresql://db.example.com/history", "postgresql://user:secret@db.example.com/history"),
        ("postgresql://db:5433/history", "postgresql+psycopg://user@db:5433/history"),
        ("postgresql:///run/postgresql/history", "postgresql://user:secret@/history?host=/run/postgresql"),
        ("postgresql://localhost/", "postgresql://"),
    ],
)
def test_an_address_as_text_shows_no_user_and_no_password(expected, url):
    assert str(locate(url)) == expected


def test_the_password_is_taken_out_of_any_text():
    assert locate("postgresql://u:s3cr%40t@h/d").redacted('bad password "s3cr@t"') == 'bad password "***"'
    assert locate("postgresql://u@h/d?password=s3cr%40t").redacted('bad password "s3cr@t"') == 'bad password "***"'
    assert locate("postgresql://u@h/d").redacted("text") == "text"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "postgresql://h:x/d",
    ],
)
def test_what_names_no_store_is_refused(url):
    with pytest.raises(UsageError, match="sqlite:///FILE"):
        locate(url)


def test_a_refused_address_is_not_repeated():
    with pytest.raises(UsageError) as refused:
        locate("postgresql://user:s3cret@host:port/name")
    assert "s3cret" not in str(refused.value)
