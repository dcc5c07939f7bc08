"""Carries a command out, and makes a line of text and an exit status of what goes wrong."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

from cli.exits import Exit

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status."""
    if importlib.util.find_spec("rich") is None:
        print(
            "error: the commands need rich, which the app does not: pip install rich",
            file=sys.stderr,
        )
        return Exit.WRONG_USAGE
    from cli.connect import connected
    from cli.errors import explain
    from cli.output import Output, drop_stdout

    output = Output(options.format)
    module, _, verb = options.verb.partition(".")
    carry_out = getattr(importlib.import_module(f"cli.{module}"), verb)
    try:
        with connected(options.settings) as importer:
            status: int = carry_out(options, importer, output)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_stdout()
        return Exit.DONE
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        output.error(told[1])
        return told[0]
    return status
