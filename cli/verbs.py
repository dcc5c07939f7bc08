"""`cancel` and `retry`: what operators do with an import."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rich.text import Text

from cli.exits import Exit
from cli.output import PROGRAM, Output, clean
from cli.watch import follow_named
from cli.words import condition
from shared.errors import ImportNotFoundError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.api_models import ImportSummary
from shared.imports.store.import_store import ConflictError

__all__ = ["cancel", "retry"]


def cancel(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """Cancel imports; with --watch the status tells whether all ended cancelled."""

    def one(import_id: str) -> ImportRecord:
        record = importer.actions.cancel(importer.reader.get(import_id))
        told = "" if record.state.is_final else ": the app cancels its job with its next tick"
        line = Text.assemble(f"{record.id}  {clean(record.file)}  ", condition(record), told)
        _say(output, record, line, options)
        return record

    return _each(one, ImportState.CANCELLED, options, importer, output)


def retry(options: argparse.Namespace, importer: Importer, output: Output) -> int:
    """Try imports again; with --watch the status tells whether all were completed."""

    def one(import_id: str) -> ImportRecord:
        old = importer.reader.get(import_id)
        was = "was" if importer.reader.describe(old).retried_as else "is"
        record = importer.actions.retry(old)
        line = Text.assemble(f"{import_id}  {was} tried again as {record.id}, ", condition(record))
        _say(output, record, line, options)
        return record

    return _each(one, ImportState.COMPLETED, options, importer, output)


def _each(
    one: Callable[[str], ImportRecord],
    wanted: ImportState,
    options: argparse.Namespace,
    importer: Importer,
    output: Output,
) -> Exit:
    """Do it with each import, whatever happens with the others."""
    status = Exit.DONE
    done: list[ImportRecord] = []
    for import_id in dict.fromkeys(options.ids):
        try:
            done.append(one(import_id))
        except (ImportNotFoundError, NotPossibleError) as error:
            output.error(str(error))
            status = Exit.NOT_POSSIBLE
        except ConflictError:
            output.error(f"Import {import_id} changes all the time at present. Try again.")
            status = Exit.NOT_POSSIBLE
    if options.watch:
        done = follow_named(done, importer, output, options.interval)
        if status is Exit.DONE and any(record.state is not wanted for record in done):
            status = Exit.BAD_END
        if output.is_json:
            for record in done:
                output.json(ImportSummary.of(record))
    opened = [record.id for record in done if not record.state.is_final]
    if opened and not output.is_json:
        output.note(f"Follow with: {PROGRAM} watch {' '.join(opened)}")
    return status


def _say(output: Output, record: ImportRecord, line: Text, options: argparse.Namespace) -> None:
    """Tell what was done at once, unless JSON is to tell how it ended."""
    if not output.is_json:
        output.show(line)
    elif not options.watch:
        output.json(ImportSummary.of(record))
