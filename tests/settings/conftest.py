from datetime import UTC, datetime

import pytest

from collector.settings import ConfigurationError, values
from collector.settings import load as load_settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, and no secrets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("collector.settings.sources.MOUNTED_SECRETS", (tmp_path / "no-such-directory",))
    monkeypatch.setattr("collector.settings.document.DEFAULT_FILES", ("config.toml", str(tmp_path / "etc.toml")))
    return tmp_path


@pytest.fixture
def load(folder):
    """Load a TOML text as `config.toml`, without the environment of the tests."""

    def load(text="", environ=None, overrides=None, **options):
        (folder / "config.toml").write_text(text, encoding="utf-8")
        return load_settings(None, environ or {}, overrides or {}, now=NOW, **options)

    return load


@pytest.fixture
def report(load):
    """The lines of the report on a configuration that cannot be used, without the line that counts them."""

    def report(text="", environ=None, overrides=None):
        with pytest.raises(ConfigurationError) as refused:
            load(text, environ, overrides)
        return str(refused.value).splitlines()[1:]

    return report


@pytest.fixture
def secret_file(folder):
    """Write a file that only its owner reads."""

    def write(name, text, mode=0o600):
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def mounted(folder, monkeypatch):
    """A directory as container engines mount it."""
    directory = folder / "run-secrets"
    directory.mkdir()
    monkeypatch.setattr("collector.settings.sources.MOUNTED_SECRETS", (directory,))
    monkeypatch.setattr(values, "MOUNTED_SECRETS", (directory,))
    return directory
