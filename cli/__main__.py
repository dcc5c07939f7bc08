"""Entry point of `device-importer`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        # Ctrl-C may come before the program is loaded, which takes a moment.
        from cli import program

        return program.main(argv)
    except KeyboardInterrupt:
        # As shells report a process that SIGINT ended.
        return 130


if __name__ == "__main__":
    sys.exit(main())
