"""The command medsegdiff, also python -m medsegdiff: hears Ctrl-C before the sub-commands are imported."""

from .cli.interrupts import stop_at_once


def main() -> int:
    """Runs the command line of this process; returns the exit status, see cli.main."""
    stop_at_once()
    from .cli.main import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
