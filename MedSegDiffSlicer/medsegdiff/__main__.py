"""python -m medsegdiff: the same as the command medsegdiff."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
