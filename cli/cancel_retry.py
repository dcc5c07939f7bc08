"""`device-importer cancel` and `device-importer retry`."""

from __future__ import annotations

import argparse

from rich.text import Text

from cli.arguments import HELP_ID, add_watch, import_id, whole_number
from cli.bulk import run_bulk
from cli.caller import caller
from cli.errors import Exit, UsageError
from cli.filters import add_filters, filter_of
from cli.formatting import state_and_progress, summary
from cli.output import Output, printable
from cli.watch import watch_to_end
from shared.errors import ImportNotFoundError, NotPossibleError, SharedJobError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.bulk import MAX_SELECTED, BulkAction
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.store.import_store import ConflictError

__all__ = ["add_arguments", "run"]


#: Other files of a job that are listed.
MAX_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", type=import_id, metavar="ID", help=HELP_ID)
    add_filters(parser)
    parser.add_argument(
        "--count",
        type=whole_number(0, MAX_SELECTED),
        metavar="N",
        help="with filters instead of ids: confirms how many imports they select; without it, or "
        "if they select more, the imports are listed and nothing is done",
    )
    if parser.get_default("command") == "cancel":
        parser.add_argument(
            "--job",
            type=import_id,
            metavar="JOB",
            help="cancel all files of this job, which contains the imports; required if an import "
            "shares its job with other files, and printed then. The first digits suffice",
        )
    _, wanted = _ACTIONS[parser.get_default("command")]
    add_watch(
        parser,
        f"follow the imports until they end; the exit status is 0 if all end as {wanted}",
    )


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Cancel or retry each import, even if that is not possible for others.

    Raises:
        UsageError: imports are selected neither by ids nor by filters, or by both.
        FilterError: unknown hub.
    """
    action, wanted = _ACTIONS[options.command]
    is_filtered = filter_of(options) != ImportFilter()
    if bool(options.ids) == is_filtered:
        raise UsageError(
            "Select imports either by their ids or by filters, such as --state waiting."
        )
    if is_filtered:
        if getattr(options, "job", None):
            raise UsageError("--job needs the ids of imports in the job.")
        return run_bulk(BulkAction(options.command), wanted, options, importer, output)
    if options.count is not None:
        raise UsageError("--count confirms what filters select, not ids.")
    status = Exit.DONE
    records: list[ImportRecord] = []
    # An import may be given twice, by prefixes of its id.
    seen: set[str] = set()
    for id in dict.fromkeys(options.ids):
        try:
            old = importer.reader.get(id)
            if old.id in seen:
                continue
            seen.add(old.id)
            record, message = action(importer, old, options)
        except SharedJobError as error:
            output.error(str(error))
            _list_others(importer, old, error, output)
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
        output.note(f"To follow: {output.command('watch', *open_ids)}")
    return status


def _list_others(
    importer: Importer, record: ImportRecord, error: SharedJobError, output: Output
) -> None:
    """List the other files of a job, and how to cancel it."""
    members = importer.reader.job_imports(record.hub, error.job_record)
    others = [member for member in members if member.id != record.id]
    for other in others[:MAX_LISTED]:
        output.note(f"  {other.id}  {other.state}  {other.file}")
    if len(others) > MAX_LISTED:
        output.note(f"  and {len(others) - MAX_LISTED} more")
    command = output.command("cancel", record.id, "--job", error.job_record)
    output.note(f"To cancel all of them: {command}")


def _cancel(
    importer: Importer, old: ImportRecord, options: argparse.Namespace
) -> tuple[ImportRecord, Text]:
    job = options.job or ""
    if job and old.job_record.startswith(job):
        job = old.job_record
    record = importer.actions.cancel(old, job, caller(importer))
    message = Text(f"{record.id}  {printable(record.file)}  ")
    message.append_text(state_and_progress(record))
    if not record.state.is_final:
        message.append(": the app cancels its job as soon as it can")
    return record, message


def _retry(
    importer: Importer, old: ImportRecord, options: argparse.Namespace
) -> tuple[ImportRecord, Text]:
    already = "already " if importer.reader.describe(old).retried_as else ""
    record = importer.actions.retry(old, caller(importer))
    message = Text(f"{old.id}  {already}retried as {record.id}, ")
    return record, message.append_text(state_and_progress(record))


#: The action, and the state that an import is expected to end in.
_ACTIONS = {"cancel": (_cancel, ImportState.CANCELLED), "retry": (_retry, ImportState.COMPLETED)}
