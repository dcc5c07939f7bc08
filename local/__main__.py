"""Run the app on this machine, without Azure.

python -m local up      Azurite, the IoT Hub emulator and the app, until Ctrl-C
python -m local demo    the same with sample uploads: progress and a table of results
python -m local host    the functions host alone, with local.settings.json

Each command has --help. The IoT Hub emulator alone: iothub-emulator
"""

from __future__ import annotations

import importlib
import sys

_COMMANDS = {
    "up": "local.up",
    "demo": "local.demo",
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
