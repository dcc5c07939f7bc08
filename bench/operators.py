"""Benchmarks of what operators wait for: the dashboard with a long history, a cold start."""

from __future__ import annotations

import argparse

from bench import cold_start, dashboard_page
from local.azurite import Azurite

__all__ = ["add_options", "run"]

#: A history that is short.
_FEW = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    for name, default, what in (
        ("--history", 100_000, "imports that ended, in the table"),
        ("--starts", 9, "cold starts of each kind"),
    ):
        parser.add_argument(
            name, type=int, default=default, metavar="N", help=f"{what}; {default:,} by default"
        )


def run(args: argparse.Namespace) -> None:
    print(*cold_start.table(cold_start.cold_starts(args.starts)), "", sep="\n", flush=True)
    with Azurite() as azurite:
        found = dashboard_page.views(azurite.connection_string, (_FEW, args.history))
    print(*dashboard_page.table(found), "", sep="\n", flush=True)
