import os

import pytest

from collector.settings import values
from collector.settings.values import NoSuchFile, read_configuration, read_value


@pytest.mark.parametrize(("expected", "text"), [("v", "v"), ("v", "v\n"), ("v", "v\r\n"), (" v ", " v ")])
def test_one_line_break_at_the_end_is_dropped(expected, text, secret_file):
    assert read_value(secret_file("value", text), private=True) == expected


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        ("it is empty", ""),
        ("it is empty", "\n"),
        ("it is empty", "  \n"),
        ("it contains more than one line", "a\nb"),
        ("it contains more than one line", "a\n\n"),
        ("it is not UTF-8 text", b"\xff\xfe"),
        ("it is larger than 16 KiB", "x" * 20_000),
    ],
)
def test_a_file_without_exactly_one_line_is_rejected(reason, content, secret_file):
    with pytest.raises(ValueError, match=f"^{reason}"):
        read_value(secret_file("value", content), private=True)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o444])
def test_a_private_file_that_everybody_reads_is_refused(mode, secret_file):
    with pytest.raises(ValueError, match=r"every user can read it .run chmod o-rwx on it"):
        read_value(secret_file("token", "t0ken", mode), private=True)
    assert read_value(secret_file("timeout", "5s", mode), private=False) == "5s"


def test_a_group_may_share_a_private_file(secret_file):
    assert read_value(secret_file("token", "t0ken", 0o640), private=True) == "t0ken"


def test_a_secret_mounted_by_a_container_engine_is_accepted(mounted):
    (mounted / "token").write_text("t0ken")
    (mounted / "token").chmod(0o444)
    assert read_value(mounted / "token", private=True) == "t0ken"


def test_only_folders_of_mounted_secrets_count_under_any_path(mounted, folder, secret_file):
    (mounted / "..data").mkdir()
    (mounted / "..data" / "token").write_text("t0ken")
    (mounted / "token").symlink_to("..data/token")
    (folder / "var-run-secrets").symlink_to(mounted)
    assert read_value(folder / "var-run-secrets" / "token", private=True) == "t0ken"
    (mounted / "elsewhere").symlink_to(secret_file("elsewhere", "t0ken", 0o644))
    for path in (mounted / "elsewhere", mounted / ".." / "elsewhere"):
        with pytest.raises(ValueError, match="every user can read it"):
            read_value(path, private=True)


def test_both_names_of_the_folder_for_secrets_are_known():
    assert [str(folder) for folder in values.MOUNTED_SECRETS] == ["/run/secrets", "/var/run/secrets"]


def test_advice_for_a_read_only_mount_can_be_followed_there(secret_file, monkeypatch):
    path = secret_file("token", "t0ken", 0o644)
    real = os.fstatvfs
    monkeypatch.setattr(os, "fstatvfs", lambda number: _ReadOnly(real(number)))
    with pytest.raises(
        ValueError, match=r"its mount is read-only, so mount it with mode 0400.*/run/secrets"
    ) as refused:
        read_value(path, private=True)
    assert "chmod" not in str(refused.value)


class _ReadOnly:
    def __init__(self, found):
        self.f_flag = found.f_flag | os.ST_RDONLY


def test_a_byte_order_mark_is_no_part_of_a_value(secret_file):
    assert read_value(secret_file("token", b"\xef\xbb\xbft0ken\r\n"), private=True) == "t0ken"


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe", 0o600)
    with pytest.raises(ValueError, match="not a regular file"):
        read_value(folder / "pipe", private=True)


@pytest.mark.parametrize("read", [lambda path: read_value(path, private=True), read_configuration])
def test_missing_files_and_directories_have_different_errors(read, folder):
    for missing in (folder / "none", folder / "none" / "none"):
        with pytest.raises(ValueError, match="there is no such file"):
            read(missing)
    with pytest.raises(ValueError, match="it is a directory"):
        read(folder)
    with pytest.raises(ValueError, match="null"):
        read(folder / "a\0b")


def test_only_a_missing_file_is_no_such_file(folder):
    with pytest.raises(NoSuchFile):
        read_configuration(folder / "none")


def test_a_file_without_permission_is_refused(folder, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(values, "open", refused, raising=False)
    with pytest.raises(ValueError, match="it may not be read by this user"):
        read_value(folder / "token", private=True)


def test_line_breaks_of_every_system_and_a_byte_order_mark_are_understood(secret_file):
    assert read_configuration(secret_file("a.toml", b"\xef\xbb\xbfa = 1\r\nb = 2\n")) == "a = 1\nb = 2\n"


def test_bytes_that_are_no_text_are_named_by_line(secret_file):
    with pytest.raises(ValueError, match=r"not UTF-8 text .line 3"):
        read_configuration(secret_file("a.toml", b"a = 1\n\nb = '\xe4'"))


def test_a_configuration_without_end_is_not_read(secret_file):
    with pytest.raises(ValueError, match="it is larger than 1024 KiB"):
        read_configuration(secret_file("a.toml", b"#" * (1024 * 1024 + 1)))
