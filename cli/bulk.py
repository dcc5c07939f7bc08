"""Cancel or retry what filters select (`cancel`, `retry`)."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from rich.text import Text

from cli.caller import caller
from cli.errors import Exit
from cli.filters import arguments_of, filter_of
from cli.formatting import state_and_progress, state_text, summary
from cli.output import Output, printable
from cli.times import full_time
from cli.watch import watch_to_end
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.operate.bulk import BulkAction, Outcome, Result, Selection

__all__ = ["run_bulk"]

#: Imports that are listed before they are confirmed.
MAX_LISTED = 20


def run_bulk(
    action: BulkAction,
    wanted: ImportState,
    options: argparse.Namespace,
    importer: Importer,
    output: Output,
) -> Exit:
    """Act on the selected imports if their number is confirmed; otherwise list them.

    Args:
        wanted: the state that the imports are expected to end in.

    Raises:
        FilterError: unknown hub.
    """
    selection = importer.bulk.select(action, filter_of(options))
    if not selection.count:
        output.note(f"No imports to {action}.")
        _note_others(selection, output)
        return Exit.DONE
    if not selection.is_confirmed(options.count):
        _ask(selection, options, output)
        return Exit.NOT_POSSIBLE
    results = []
    for result in importer.bulk.run(selection, caller(importer)):
        results.append(result)
        _show(result, options, output)
    _summarise(results, selection, output)
    records = [result.record for result in results if result.record is not None]
    has_failed = any(result.outcome is Outcome.FAILED for result in results)
    status = Exit.NOT_POSSIBLE if has_failed else Exit.DONE
    if options.watch:
        watched = watch_to_end(records, wanted, importer, output, options.interval)
        return status or watched
    return status


def _ask(selection: Selection, options: argparse.Namespace, output: Output) -> None:
    """Show what would be done, and how to confirm it."""
    action, count = selection.action, selection.count
    if output.is_json:
        imports = [summary(record) for record in selection.imports]
        output.json({"action": action, "count": count, "imports": imports})
    else:
        _list(selection.imports, output)
    confirmed = "" if options.count is None else f" Confirmed: {options.count:,}."
    verb = "cancelled" if action is BulkAction.CANCEL else "retried"
    were = "1 import would be" if count == 1 else f"{count:,} imports would be"
    output.error(f"{were} {verb}; nothing was done.{confirmed}")
    _note_others(selection, output)
    times = (selection.filter.uploaded_after, selection.filter.uploaded_before)
    arguments = (*arguments_of(options, *times), "--count", str(count))
    output.note(f"To {action} them: {output.command(action, *arguments)}")


def _list(imports: Sequence[ImportRecord], output: Output) -> None:
    for record in imports[:MAX_LISTED]:
        line = Text(f"{record.id}  ").append_text(state_text(record.state))
        output.show(line.append(f"  {printable(record.file)}"))
    if len(imports) > MAX_LISTED:
        output.show(Text(f"and {len(imports) - MAX_LISTED:,} more"))


def _note_others(selection: Selection, output: Output) -> None:
    """Say what the filters select and is left alone."""
    if shared := selection.in_shared_jobs:
        output.note(
            f"Not included: {len(shared):,} whose jobs contain files that are not selected; a hub "
            f"can cancel only a whole job. See: {output.command('show', shared[0].id)}"
        )
    if selection.held:
        output.note(
            f"Not included: imports that wait for approval ({selection.held:,} at these hubs); "
            f"decline them one by one. To list them: {output.command(*_list_held(selection))}"
        )
    if selection.is_cut:
        back_to = selection.searched_back_to
        where = f"searched back to {full_time(back_to)}" if back_to else "cut"
        output.note(f"Older imports may match, too ({where}): repeat the command afterwards.")


def _list_held(selection: Selection) -> list[str]:
    return ["list", "--state=held", *(f"--hub={hub}" for hub in sorted(selection.filter.hubs))]


def _show(result: Result, options: argparse.Namespace, output: Output) -> None:
    record = result.record
    if record is None:
        output.error(result.message)
        return
    if output.is_json:
        if not options.watch:
            output.json(summary(record))
        return
    if result.outcome is Outcome.RETRIED:
        text = Text(f"{result.selected.id}  retried as {record.id}, ")
    else:
        text = Text(f"{record.id}  {printable(record.file)}  ")
    text.append_text(state_and_progress(record))
    if result.outcome is Outcome.CANCEL_REQUESTED:
        text.append(": the app cancels its job as soon as it can")
    elif result.outcome is Outcome.ENDED:
        text.append(": it had ended before")
    output.show(text)


def _summarise(results: Iterable[Result], selection: Selection, output: Output) -> None:
    outcomes = [result.outcome for result in results]
    names = {
        Outcome.CANCELLED: "cancelled",
        Outcome.CANCEL_REQUESTED: "ending with their jobs",
        Outcome.RETRIED: "retried",
        Outcome.ENDED: "ended before",
        Outcome.FAILED: "failed",
    }
    parts = [f"{outcomes.count(name):,} {text}" for name, text in names.items() if name in outcomes]
    if left := selection.count - len(outcomes):
        parts.append(f"{left:,} left")
    output.note(f"{', '.join(parts)}.")
    _note_others(selection, output)
