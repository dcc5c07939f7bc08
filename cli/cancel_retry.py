"""`device-importer cancel` and `device-importer retry`."""

from __future__ import annotations

import argparse

from rich.text import Text

from cli.arguments import add_watch, import_id
from cli.caller import caller
from cli.errors import Exit
from cli.formatting import state_and_progress, summary
from cli.output import PROGRAM, Output, printable
from cli.watch import watch_to_end
from shared.errors import ImportNotFoundError, NotPossibleError, SharedJobError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.store.import_store import ConflictError

__all__ = ["add_arguments", "run"]


#: Other files of a job that are listed.
MAX_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", type=import_id, metavar="ID", help="import id")
    if parser.get_default("command") == "cancel":
        parser.add_argument(
            "--job",
            type=import_id,
            help="cancel all files of this job, which contains the imports; required if an import "
            "shares its job with other files",
        )
    add_watch(
        parser,
        "follow the imports until they end; the exit status is then 0 if all end cancelled (cancel)"
        " or completed (retry)",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Cancel or retry each import, even if that is not possible for others."""
    action, wanted = _ACTIONS[options.command]
    status = Exit.DONE
    records: list[ImportRecord] = []
    for id in dict.fromkeys(options.ids):
        try:
            record, message = action(importer, id, options)
        except SharedJobError as error:
            output.error(str(error))
            _list_others(importer, id, error, output)
            status = Exit.NOT_POSSIBLE
        except (ImportNotFoundError, NotPossibleError) as error:
            output.error(str(error))
            status = Exit.NOT_POSSIBLE
        except ConflictError:
            output.error(f"Import {id} is being changed by other processes. Try again.")
            status = Exit.NOT_POSSIBLE
        else:
            records.append(record)
            if not output.is_json:
                output.show(message)
            elif not options.watch:
                output.json(summary(record))
    if options.watch:
        watch_status = watch_to_end(records, wanted, importer, output, options.interval)
        return status or watch_status
    open_ids = [record.id for record in records if not record.state.is_final]
    if open_ids and not output.is_json:
        output.note(f"To follow: {PROGRAM} watch {' '.join(open_ids)}")
    return status


def _list_others(importer: Importer, id: str, error: SharedJobError, output: Output) -> None:
    """List the other files of a job, and how to cancel it."""
    hub = importer.reader.get(id).hub
    members = importer.reader.job_imports(hub, error.job_record)
    others = [member for member in members if member.id != id]
    for record in others[:MAX_LISTED]:
        output.note(f"  {record.id}  {record.state}  {record.file}")
    if len(others) > MAX_LISTED:
        output.note(f"  and {len(others) - MAX_LISTED} more")
    output.note(f"To cancel all of them: {PROGRAM} cancel {id} --job {error.job_record}")


def _cancel(
    importer: Importer, import_id: str, options: argparse.Namespace
) -> tuple[ImportRecord, Text]:
    record = importer.actions.cancel(
        importer.reader.get(import_id), options.job or "", caller(importer)
    )
    message = Text(f"{record.id}  {printable(record.file)}  ")
    message.append_text(state_and_progress(record))
    if not record.state.is_final:
        message.append(": the app cancels its job as soon as it can")
    return record, message


def _retry(
    importer: Importer, import_id: str, options: argparse.Namespace
) -> tuple[ImportRecord, Text]:
    old = importer.reader.get(import_id)
    already = "already " if importer.reader.describe(old).retried_as else ""
    record = importer.actions.retry(old, caller(importer))
    message = Text(f"{import_id}  {already}retried as {record.id}, ")
    return record, message.append_text(state_and_progress(record))


#: The action, and the state that an import is expected to end in.
_ACTIONS = {"cancel": (_cancel, ImportState.CANCELLED), "retry": (_retry, ImportState.COMPLETED)}
