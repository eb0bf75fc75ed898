"""`python -m collector` is the `collector` command; both start here."""


def main() -> None:
    """Run the command line; signals are held before what takes time is imported."""
    from collector.cli import signals

    signals.hold()
    from collector.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
