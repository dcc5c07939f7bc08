"""Measures validation, imports, queues, plans, the hub emulator and what operators wait for."""

from __future__ import annotations

import argparse
import sys

from bench import changes, emulator, imports, operators, plan, queue, validator

_PARTS = {
    "devices": validator,
    "imports": imports,
    "queue": queue,
    "changes": changes,
    "plan": plan,
    "emulator": emulator,
    "operators": operators,
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="part", metavar="PART", help="without one, each of them")
    parts = {}
    for name, module in _PARTS.items():
        parts[name] = commands.add_parser(name, help=module.__doc__, description=module.__doc__)
        module.add_options(parts[name])
    args = parser.parse_args(argv)
    if any(isinstance(value, int) and value < 1 for value in vars(args).values()):
        parser.error("none of the counts may be less than 1")
    if args.part:
        _PARTS[args.part].run(args)
    else:
        for name, module in _PARTS.items():
            module.run(parts[name].parse_args([]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
