import pytest

from collector.errors import UsageError
from collector.store.db.engine import locate


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
    ("expected", "url"),
    [
        ("/home/me/x.db", "sqlite:///~/x.db"),
        ("/home/me/data/~.db", "sqlite:///~/data/~.db"),
        ("/work/~/x.db", "sqlite:///./~/x.db"),
        ("/work/x.db", "sqlite:///x.db"),
        ("/100%.db", "sqlite:////100%25.db"),
        ("/a b/ü?.db", "sqlite:////a%20b/%C3%BC%3F.db"),
    ],
)
def test_the_path_of_a_file_is_expanded_and_decoded(expected, url, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    assert str(locate(url)) == expected.replace("/work", str(tmp_path))


def test_a_location_knows_the_file_and_the_name_that_links_to_it(tmp_path):
    (tmp_path / "link.db").symlink_to("file.db")
    found = locate(f"sqlite:///{tmp_path}/link.db")
    assert (found.path, found.named) == (tmp_path / "file.db", tmp_path / "link.db")


@pytest.mark.parametrize(
    ("reason", "url"),
    [
        ("it contains a % without two", "sqlite:////100%.db"),
        ("it contains a %XX that is not UTF-8", "sqlite:////100%ab.db"),
        ("it is not the path of a file", "sqlite:////a%00b.db"),
        ("it is not the path of a file", "sqlite:///%3Amemory%3A"),
        ("its ~ is not a home directory", "sqlite:///~nobody-of-this-name/x.db"),
        ("it has a ~ after four slashes", "sqlite:////~/x.db"),
        (
            "it contains an unknown option 'ssl_mode' \\(did you mean \"sslmode\"",
            "postgresql://me:hunter2@h/d?ssl_mode=require",
        ),
        ("it contains an unknown option 'autocommit'", "postgresql://me:hunter2@h/d?autocommit=1"),
        ("it contains an unknown option", "postgresql://h:1/d?HUNTER2=x"),
    ],
)
def test_what_would_lead_elsewhere_is_refused_by_name(reason, url):
    with pytest.raises(UsageError, match=rf"the address of the store is refused \({reason}") as refused:
        locate(url)
    assert "hunter2" not in str(refused.value).lower()


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
