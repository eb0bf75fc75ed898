"""`python -m collector` is the `collector` command; both start here."""

import gc


def main() -> None:
    """Run the command line; signals are held before what takes time is imported.

    Cyclic garbage is not collected while modules are imported, because they create many objects and hardly any garbage,
    nor at the exit, because the memory of the process is freed anyway. The command line switches the collection on.
    """
    gc.disable()
    from collector.cli import signals

    signals.hold()
    from collector.cli.main import main as run_command_line

    try:
        run_command_line()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
