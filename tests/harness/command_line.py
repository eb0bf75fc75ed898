"""Run commands in this process, and give them a working folder."""

from click.testing import CliRunner

from collector.cli.main import command


def invoke(*arguments, **environ):
    """Run `collector` with *arguments* and the variables *environ*; return click's result."""
    return CliRunner(env=environ).invoke(command, list(arguments), prog_name="collector")


def empty_folder(tmp_path, monkeypatch):
    """Change to *tmp_path*, where no command finds the configuration or the secrets of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("collector.settings.sources.MOUNTED_SECRETS", (tmp_path / "none",))
    monkeypatch.setattr("collector.settings.document.DEFAULT_FILES", ("config.toml",))
    return tmp_path


def folder_of_store(tmp_path, monkeypatch, url):
    """Change to a new folder whose configuration names the store *url* and has no profile."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[database]\nurl = "{url}"\n')
    monkeypatch.chdir(folder)
    return folder
