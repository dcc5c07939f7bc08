"""`watch`: imports as they go on, until they end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

from azure.core.exceptions import ServiceResponseError

from cli.board import Board
from cli.errors import UnreachableError
from cli.exits import Exit
from cli.follow import Named, Opened, Source
from cli.output import Output
from cli.views import JsonLines, Quiet, TextLines, View
from shared.errors import FilterError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState

__all__ = ["follow_named", "run"]

#: Seconds that a storage account may be out of reach once it was seen.
PATIENCE = 300


def run(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """Follow imports.

    Raises:
        ImportNotFoundError: there is no import with one of the ids.
        FilterError: there is no such hub.
    """
    source: Source
    if options.ids:
        named = [importer.reader.get(import_id) for import_id in dict.fromkeys(options.ids)]
        source = Named(importer, named)
    else:
        source = Opened(importer, _known_hubs(options.hub, importer))
    ends = bool(options.ids) or options.until_idle
    with _view(importer, output) as view:
        ended = _follow(source, view, options.interval, ends)
    if not options.ids and not ended and not output.is_json:
        output.note("Nothing is open.")
    return _status(ended)


def follow_named(
    imports: Iterable[ImportRecord], importer: Importer, output: Output, interval: float
) -> list[ImportRecord]:
    """Follow imports until all have ended; for JSON nothing is told on the way."""
    with Quiet() if output.is_json else _view(importer, output) as view:
        return _follow(Named(importer, imports), view, interval, True)


def _follow(source: Source, view: View, interval: float, ends: bool) -> list[ImportRecord]:
    ended: list[ImportRecord] = []
    lost_at: float | None = None
    is_begun = False
    while True:
        try:
            sight = source.look()
        except (UnreachableError, ServiceResponseError) as error:
            lost_at = lost_at or time.monotonic()
            if not is_begun or time.monotonic() - lost_at > PATIENCE:
                raise
            view.trouble(f"{str(error).splitlines()[0]} Tries again.")
        else:
            is_begun, lost_at = True, None
            view.show(sight)
            ended += sight.ended
            if ends and sight.is_idle:
                return ended
        time.sleep(interval)


def _known_hubs(wanted: Iterable[str], importer: Importer) -> list[str]:
    hubs = importer.reader.hubs()
    if unknown := sorted(set(wanted) - set(hubs)):
        raise FilterError("hub", f"There is no hub {unknown[0]!r}; there are: {', '.join(hubs)}.")
    return sorted(set(wanted))


def _status(ended: Iterable[ImportRecord]) -> Exit:
    is_well = all(record.state is ImportState.COMPLETED for record in ended)
    return Exit.DONE if is_well else Exit.BAD_END


def _view(importer: Importer, output: Output) -> View:
    if output.is_json:
        return JsonLines(output)
    if output.is_live:
        services = importer.services
        return Board(output, services.clock, names_hubs=len(importer.reader.hubs()) > 1)
    return TextLines(output, importer.services.clock)
