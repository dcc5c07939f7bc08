"""What operators do at the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cli import check, parsers


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="device-importer", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check.add_parser(commands)
    parsers.add_parsers(commands)
    options = parser.parse_args(argv)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        return 130  # as shells have it
    return status


if __name__ == "__main__":
    sys.exit(main())
