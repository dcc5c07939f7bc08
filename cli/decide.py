"""`device-importer approve` and `device-importer decline`."""

from __future__ import annotations

import argparse

from cli.arguments import add_id, add_watch, digest, whole_number
from cli.caller import caller
from cli.errors import Exit
from cli.formatting import file_of
from cli.output import Output, printable
from cli.watch import show_or_watch
from shared.errors import LaterImportsError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.store.import_store import ConflictError

__all__ = ["add_arguments", "run"]

#: Later imports that are listed.
MAX_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_id(parser)
    if parser.get_default("command") == "approve":
        parser.add_argument(
            "--plan",
            required=True,
            type=digest,
            metavar="DIGEST",
            help="what is approved: the digest that `show` prints with the plan",
        )
        parser.add_argument(
            "--later",
            type=whole_number(0),
            default=0,
            metavar="N",
            help="number of later imports that may have changed its devices, as `show` prints it",
        )
        add_watch(parser, "follow the import until it ends")
    else:
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="why; it is kept with the import"
        )
        parser.set_defaults(watch=False)


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Decide about a held import.

    Raises:
        ImportNotFoundError: no import has this id.
    """
    record = importer.reader.get(options.id)
    try:
        record = _decide(options, importer, record)
    except NotPossibleError as error:
        output.error(str(error))
        if isinstance(error, LaterImportsError):
            _list_later(importer, record, output)
        return Exit.NOT_POSSIBLE
    except ConflictError:
        output.error(f"Import {record.id} is being changed by other processes. Try again.")
        return Exit.NOT_POSSIBLE
    text = f"{record.id}  {printable(file_of(record))}  "
    return show_or_watch(text, record, options, importer, output)


def _decide(options: argparse.Namespace, importer: Importer, record: ImportRecord) -> ImportRecord:
    by = caller(importer)
    if options.command == "decline":
        return importer.approvals.decline(record, options.reason, by)
    return importer.approvals.approve(record, options.plan, options.later, by)


def _list_later(importer: Importer, record: ImportRecord, output: Output) -> None:
    later = importer.reader.describe(record).later_imports
    for other in later[:MAX_LISTED]:
        output.note(f"  {other.id}  {other.state}  {other.file}")
    if len(later) > MAX_LISTED:
        output.note(f"  and {len(later) - MAX_LISTED} more")
