"""`device-importer undo`."""

from __future__ import annotations

import argparse
from contextlib import closing

from cli.arguments import add_id, add_watch, whole_number
from cli.caller import caller
from cli.errors import Exit
from cli.hub_access import hub_errors
from cli.output import Output
from cli.plan_hub import snapshot_of_export
from cli.plan_view import PlannedGroups, show_plan, show_summary
from cli.registry import Registry
from cli.times import full_time
from cli.watch import show_or_watch
from shared.errors import NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.operate.undo import Undo, explained_loss
from shared.imports.store.import_store import ConflictError
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action
from shared.plan.report import PlanReport
from shared.plan.undo import SentLines, plan_undo

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_id(parser)
    add("--plan", action="store_true", help="show what the undo would do, and change nothing")
    add(
        "--deletes",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="confirm that devices and modules are deleted which the import created: their number, "
        "as `show` prints it",
    )
    add(
        "--also-changed",
        action="store_true",
        help="also restore devices that somebody changed after the import",
    )
    add("--detail", action="store_true", help="with --plan: show all lines and values")
    add_watch(parser, "follow the undo until it ends")


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Undo an import, or show what that would do.

    Raises:
        ImportNotFoundError: no import has this id.
        CommandError: for the plan, the hub or storage cannot be reached.
    """
    old = importer.reader.get(options.id)
    try:
        if options.plan:
            return _plan(importer, old, output, options)
        record = importer.actions.undo(
            old, options.deletes, caller(importer), also_changed=options.also_changed
        )
    except NotPossibleError as error:
        output.error(str(error))
        return Exit.NOT_POSSIBLE
    except ConflictError:
        output.error(f"Import {old.id} is being changed by other processes. Try again.")
        return Exit.NOT_POSSIBLE
    text = f"{old.id}  undone by {record.id}, "
    return show_or_watch(text, record, options, importer, output)


def _plan(
    importer: Importer, old: ImportRecord, output: Output, options: argparse.Namespace
) -> Exit:
    """Compare what an undo would write with the registry, read with the operator's own rights."""
    undo, services = Undo(importer.services), importer.services
    undo.check(old)
    if old.hub not in services.hubs:
        raise NotPossibleError(f"The hub {old.hub} is not configured (IOTHUB).")
    with explained_loss(old):
        devices = FileDevices(undo.lines(old))
    with hub_errors(old.hub):
        snapshot = snapshot_of_export(services, old.hub, devices, output, keys=True)
    title = f"the registry of {old.hub}, exported {full_time(snapshot.as_of)}"
    registry = Registry(snapshot, "export", title)
    with closing(snapshot), closing(PlannedGroups(is_complete=options.detail)) as groups:
        report = PlanReport(snapshot, source="export")
        with explained_loss(old), SentLines(undo.applied_lines(old)) as sent:
            for line in plan_undo(
                *(undo.lines(old), devices, snapshot, sent), also_changed=options.also_changed
            ):
                report.add(line, line.number)
                if line.planned.action is not Action.UNCHANGED:
                    groups.add(line.planned, line.number)
        if output.is_json:
            output.json(report.to_json())
        else:
            name = f"the undo of import {old.id}"
            show_plan(name, registry, report.counts, groups, {}, output)
            show_summary(report.counts, 0, output)
    if report.counts.actions[Action.FAIL]:
        return Exit.UNSUCCESSFUL
    return Exit.CHANGES if report.counts.sent else Exit.DONE
