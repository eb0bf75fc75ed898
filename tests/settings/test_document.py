import pytest

from collector.settings import ConfigurationError, load

TOKEN = "v1-0123456789abcdefghijklmnopqrstuvwxyzAB"


def lines_of(*arguments, **options):
    with pytest.raises(ConfigurationError) as refused:
        load(*arguments, **options)
    return str(refused.value).splitlines()[1:]


def test_the_file_is_named_by_argument_then_environment_then_custom(folder):
    for port, name in enumerate(["given.toml", "named.toml", "config.toml", "etc.toml"], start=1):
        (folder / name).write_text(f"[server]\nport = {port}")
    environ = {"COLLECTOR_CONFIG": "named.toml"}
    assert load("given.toml", environ).server.port == 1
    assert load(None, environ).server.port == 2
    assert load(None, {}).server.port == 3
    (folder / "config.toml").unlink()
    assert load(None, {}).server.port == 4


def test_a_named_file_that_is_missing_is_refused():
    assert lines_of("none.toml", {}) == [
        'command line: --config: found "none.toml": there is no such file; allowed: a TOML file that this user can read'
    ]
    assert lines_of(None, {"COLLECTOR_CONFIG": "none.toml"})[0].startswith(
        'environment: COLLECTOR_CONFIG: found "none.toml": there is no such file'
    )


def test_a_missing_file_is_refused_even_where_none_is_required():
    assert "there is no such file" in lines_of("none.toml", {}, required=False)[0]


def test_no_file_at_all_is_refused_with_where_it_was_looked_for():
    (line,) = lines_of(None, {})
    assert line.startswith("configuration: no file found (looked for $COLLECTOR_CONFIG, config.toml, ")
    assert line.endswith("write one with: collector config init")


def test_without_a_file_commands_of_the_store_use_the_defaults():
    settings = load(None, {}, required=False)
    assert settings.profiles == ()
    assert settings.database.url.reveal() == "sqlite:///collector.db"


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        ("it is a directory", lambda path: path.mkdir()),
        ("it is not UTF-8 text (line 2)", lambda path: path.write_bytes(b"\n\xff")),
        ("it is larger than 1024 KiB", lambda path: path.write_bytes(b"\n" * 2**21)),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_no_other_is_taken(expected, make, folder):
    make(folder / "config.toml")
    (folder / "etc.toml").write_text("")
    assert lines_of(None, {}) == [
        f'config.toml: found "config.toml": {expected}; allowed: a TOML file that this user can read'
    ]


def test_an_empty_name_is_refused():
    assert 'found ""' in lines_of("", {})[0]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("config.toml:2: not valid TOML: Invalid value (at line 2, column 5)", "[radar]\na = x"),
        ("config.toml:3: not valid TOML: Unclosed array (at end of document)", "[radar]\n\na = [1, 2"),
        ("config.toml:3: not valid TOML: Cannot overwrite a value (at line 3", "a = 1\n\na = 2\n"),
        ("config.toml: not valid TOML: a number with too many digits", "a = " + "1" * 5000),
        ("config.toml: nested too deeply", "a = " + "[" * 100_000),
    ],
)
def test_invalid_toml_is_rejected_with_its_line(expected, text, report):
    assert report(text)[0].startswith(expected)


def test_a_broken_file_hides_no_other_problem(report):
    lines = report("x", {"COLLECTOR_RADAR__TIMEOUT": "soon"})
    assert [line.split(":")[0] for line in lines] == ["config.toml", "environment"]


def test_unknown_tables_and_values_in_place_of_tables_are_refused(report):
    assert [line.split(";")[0] for line in report('radr = 1\nserver = "x"\nlog = []\nprofiles = 5\n[databse]')] == [
        'config.toml:1: radr: unknown key (did you mean "radar"?)',
        'config.toml:2: server: found "x"',
        "config.toml:3: log: found an empty list",
        "config.toml:4: profiles: found 5",
        'config.toml:5: databse: unknown key (did you mean "database"?)',
    ]


@pytest.mark.parametrize(("section", "key"), [("radar", "api_token"), ("radar", "api_key"), ("server", "token")])
def test_a_secret_in_the_configuration_itself_is_refused_and_not_shown(section, key, report):
    (line,) = report(f'[{section}]\n{key} = "hunter22"')
    assert line == (
        f"config.toml:2: {section}.{key}: secrets are not allowed in this file; "
        f'write the secret to a separate file and set {key}_file = "FILE"'
    )


@pytest.mark.parametrize("key", ["radar.api_token", "database.url"])
def test_a_number_with_more_digits_than_python_writes_is_no_secret(key, report):
    (line,) = report(f"{key} = 0x{'f' * 5000}")
    assert line.startswith(f"config.toml:1: {key}: ")


def test_secrets_come_from_files_beside_the_configuration(folder, secret_file, monkeypatch):
    (folder / "etc").mkdir()
    for name, text in (("token", "t0ken"), ("server", "s3rver" * 5), ("url", "postgresql://u:pw@h/d")):
        secret_file(f"etc/{name}", f"{text}\n")
    (folder / "etc" / "c.toml").write_text(
        '[radar]\napi_token_file = "token"\n[server]\ntoken_file = "server"\n[database]\nurl_file = "url"'
    )
    settings = load("etc/c.toml", {})
    assert settings.radar.credentials.headers() == {"Authorization": "Bearer t0ken"}
    assert settings.server.token.reveal() == "s3rver" * 5
    assert settings.secrets == ("s3rver" * 5, "t0ken", "pw")
    assert "t0ken" not in repr(settings)
    assert "pw" not in repr(settings)


def test_email_and_key_come_from_files_too(load, secret_file):
    secret_file("key", "k3y")
    settings = load('[radar]\nemail = "me@example.com"\napi_key_file = "key"')
    assert settings.radar.credentials.headers() == {"X-Auth-Email": "me@example.com", "X-Auth-Key": "k3y"}


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ('found "none": there is no such file; allowed: a file that other users cannot', 'api_token_file = "none"'),
        ("found 5; allowed: the path of a file", "api_token_file = 5"),
        ('found "***": there is no such file', f'api_token_file = "{TOKEN}"'),
        ('found "."', 'api_token_file = "."'),
        ('found "a\\x00b": embedded null', 'api_token_file = "a\\u0000b"'),
    ],
)
def test_an_unreadable_file_is_rejected_with_the_line_that_names_it(expected, line, report):
    (found,) = report(f"[radar]\n{line}")
    assert found.startswith(f"config.toml:2: radar.api_token_file: {expected}")


def test_a_wrong_value_in_a_file_is_refused_by_the_line_that_names_it(report, secret_file):
    secret_file("token", "hunter22 hunter22")
    (line,) = report('[radar]\n\napi_token_file = "token"')
    assert line.startswith("config.toml:3: radar.api_token_file: it contains a blank")
    assert "hunter22" not in line


def test_an_address_is_set_only_once(report):
    (line,) = report('[database]\nurl = "sqlite:///a.db"\nurl_file = "x"')
    assert line == "config.toml:3: database.url_file: database.url is set too; keep one of the two"
