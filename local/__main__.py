"""The local stack: nothing of it is ever deployed.

python -m local up      Azurite, the hub emulator and the app, until Ctrl-C
python -m local demo    the same with an operator at work: uploads, progress, a table of results
python -m local hub     the hub emulator alone
python -m local host    the functions host alone, with local.settings.json

Each takes --help.
"""

from __future__ import annotations

import importlib
import sys

_COMMANDS = {
    "up": "local.up",
    "demo": "local.demo",
    "hub": "iothub_emulator.cli",
    "host": "local.host.run",
}


def main(argv: list[str]) -> int:
    command, *rest = argv or ["--help"]
    if command not in _COMMANDS:
        print(__doc__)
        return 0 if command in ("-h", "--help") else 2
    try:
        status: int = importlib.import_module(_COMMANDS[command]).main(rest)
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
