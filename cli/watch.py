"""`device-importer watch`, and `--watch` of other commands: follow imports until they end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from azure.core.exceptions import ServiceResponseError
from rich.text import Text

from cli.arguments import HELP_ID, add_hub_filter, add_interval, import_id
from cli.errors import Exit
from cli.formatting import state_and_progress, summary
from cli.output import Output
from cli.storage_errors import UnreachableError
from cli.unregistered import get_or_upload
from cli.watch_source import OpenImports, SelectedImports
from cli.watch_view import LineView, LiveView, NotesView, View
from shared.errors import error_text
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.hub_names import hub_names

__all__ = ["add_arguments", "run", "show_or_watch", "watch_to_end"]

#: Seconds that the storage account may be unreachable after it was reached once.
OUTAGE_TIMEOUT = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    help_ids = f"{HELP_ID}: follow these until all have ended or are held (default: all open ones)"
    add("ids", nargs="*", type=import_id, metavar="ID", help=help_ids)
    add_hub_filter(parser)
    add_interval(parser)
    add(
        "--until-idle",
        action="store_true",
        help="without ids: end when no import is open or all are held",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Follow imports.

    Raises:
        ImportNotFoundError: no import and no upload has one of the ids.
        FilterError: unknown hub.
    """
    source: SelectedImports | OpenImports
    if options.ids:
        imports = (get_or_upload(importer, import_id)[0] for import_id in options.ids)
        # An import may be given twice, by prefixes of its id.
        source = SelectedImports(importer, {record.id: record for record in imports}.values())
    else:
        source = OpenImports(importer, hub_names(importer.services, options.hub))
    ends_when_idle = bool(options.ids) or options.until_idle
    with _how_to_go_on(source, output), _view(importer, output) as view:
        ended = _follow(source, view, options.interval, ends_when_idle)
    status = _status(ended, ImportState.COMPLETED)
    if not ended and not output.is_json:
        output.note("No open imports.")
    if not options.ids and (held := importer.reader.held_count(options.hub)):
        output.note(f"Imports that wait for approval: {held:,}.")
        status = Exit.HELD if status is Exit.DONE else status
    return status


def show_or_watch(
    text: str,
    record: ImportRecord,
    options: argparse.Namespace,
    importer: Importer,
    output: Output,
) -> Exit:
    """Show what became of an import, and follow it if that is asked for (`--watch`).

    Args:
        text: before its state.
    """
    if not output.is_json:
        output.show(Text(text).append_text(state_and_progress(record)))
    elif not options.watch:
        output.json(summary(record))
    if options.watch:
        return watch_to_end([record], ImportState.COMPLETED, importer, output, options.interval)
    if not (record.state.is_final or output.is_json):
        output.note(f"To follow: {output.command('watch', record.id)}")
    return Exit.DONE


def watch_to_end(
    imports: Iterable[ImportRecord],
    wanted: ImportState,
    importer: Importer,
    output: Output,
    interval: float,
) -> Exit:
    """Follow imports until all have ended; as JSON, write only how they ended.

    Args:
        interval: between two reads, in seconds.

    Returns:
        DONE if all ended in the wanted state, HELD if the others wait for an approval, else
        UNSUCCESSFUL.
    """
    source = SelectedImports(importer, imports)
    with (
        _how_to_go_on(source, output),
        NotesView(output) if output.is_json else _view(importer, output) as view,
    ):
        ended = _follow(source, view, interval, True)
    if output.is_json:
        for record in ended:
            output.json(summary(record))
    return _status(ended, wanted)


@contextmanager
def _how_to_go_on(source: SelectedImports | OpenImports, output: Output) -> Iterator[None]:
    """After Ctrl-C, say that the imports go on, and how to follow them again."""
    try:
        yield
    except KeyboardInterrupt:
        command = output.command("watch", *source.arguments)
        output.note(f"Interrupted. Imports go on; to follow them again: {command}")
        raise


def _follow(
    source: SelectedImports | OpenImports, view: View, interval: float, ends_when_idle: bool
) -> list[ImportRecord]:
    """Show snapshots; returns the imports that ended, and those that are held at the end."""
    ended: list[ImportRecord] = []
    was_reached = False
    failing_since: float | None = None
    while True:
        try:
            snapshot = source.read()
        except (UnreachableError, ServiceResponseError) as error:
            failing_since = failing_since or time.monotonic()
            if not was_reached or time.monotonic() - failing_since > OUTAGE_TIMEOUT:
                raise
            view.show_failure(f"{error_text(error)}. Retrying.")
        else:
            was_reached, failing_since = True, None
            view.show(snapshot)
            ended += snapshot.ended
            if ends_when_idle and snapshot.is_idle:
                return ended + snapshot.held
        time.sleep(interval)


def _status(ended: Iterable[ImportRecord], wanted: ImportState) -> Exit:
    others = {record.state for record in ended} - {wanted}
    if others == {ImportState.HELD}:
        return Exit.HELD
    return Exit.UNSUCCESSFUL if others else Exit.DONE


def _view(importer: Importer, output: Output) -> View:
    clock = importer.services.clock
    if output.is_live:
        return LiveView(output, clock, shows_hubs=len(importer.reader.hubs()) > 1)
    return LineView(output, clock)
