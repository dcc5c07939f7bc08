"""`device-importer find`: which imports touched a device, and what became of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from cli.arguments import add_hub_filter, time_or_age, whole_number
from cli.errors import CommandError, Exit
from cli.find_view import Presence, Search, full_name, show
from cli.hub_access import hub_errors
from cli.output import Output
from shared.hub.client import HubClient
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.operate.device_history import (
    DEFAULT_AGE,
    DEFAULT_LIMIT,
    DeviceHistory,
    DeviceImport,
)
from shared.imports.operate.device_search import is_same_id
from shared.imports.operate.hub_names import hub_names
from shared.imports.operate.import_filter import ImportFilter
from shared.imports.operate.line_results import LineResult
from shared.imports.workflow.registration import has_dot_folder

__all__ = ["add_arguments", "run"]

#: Characters of an id; a valid one has 128 at most.
_MAX_ID = 256
#: Questions to hubs at most: hubs, and at each the spellings of the id.
_MAX_ASKED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "device",
        type=_id,
        metavar="DEVICE",
        help="id of the device; letter case and leading zeros of a number are ignored",
    )
    add("--module", type=_id, metavar="ID", help="only this module of the device")
    add_hub_filter(parser)
    add(
        "--since",
        type=time_or_age,
        metavar="TIME",
        help="only imports uploaded at or after: a local date or time, or an age (default: "
        f"{DEFAULT_AGE.days}d)",
    )
    add(
        "--limit",
        type=whole_number(1, 1_000_000),
        default=DEFAULT_LIMIT,
        metavar="N",
        help="maximum number of imports to search, the newest first (default: %(default)s)",
    )


def _id(text: str) -> str:
    # No id contains blanks; those around a pasted one are not part of it.
    text = text.strip()
    if not 0 < len(text) <= _MAX_ID:
        raise argparse.ArgumentTypeError(f"must have from 1 to {_MAX_ID} characters")
    return text


def run(options: argparse.Namespace, importer: Importer, output: Output) -> Exit:
    """Search recent imports for a device, and show those that have it.

    Raises:
        FilterError: unknown hub.
    """
    since = options.since or importer.services.clock() - DEFAULT_AGE
    history = DeviceHistory(
        importer.services,
        importer.reader,
        options.device,
        options.module,
        wanted=ImportFilter(hubs=frozenset(options.hub), uploaded_after=since),
        limit=options.limit,
    )
    answers: list[Presence] = []
    is_interrupted = False
    try:
        title = f"Searching imports for {full_name(options.device, options.module or '')}"
        with output.activity(title) as show_activity:
            for record in history.run():
                show_activity(title, f"{history.searched + 1:,}: {record.file}")
        answers += _at_hubs(options, importer, history)
    except KeyboardInterrupt:
        # What was found until then is shown.
        is_interrupted = True
    search = Search(
        device=options.device,
        module=options.module or "",
        hubs=options.hub,
        since=since,
        limit=options.limit,
        history=history,
        answers=answers,
        is_interrupted=is_interrupted,
    )
    if output.is_json:
        output.json(_json(search))
    else:
        show(search, output, shows_hub=len(importer.reader.hubs()) > 1)
    if is_interrupted:
        output.note("Interrupted: not all imports were searched.")
        return Exit.INTERRUPTED
    return Exit.DONE if history.found else Exit.NOT_POSSIBLE


def _at_hubs(
    options: argparse.Namespace, importer: Importer, history: DeviceHistory
) -> Iterator[Presence]:
    """Whether hubs have the device now: those whose imports have it, else those searched."""
    configured = importer.services.hubs
    of_imports = dict.fromkeys(item.record.hub for item in history.found)
    names = of_imports or hub_names(importer.services, options.hub) or configured
    spellings = [
        (name, *ids)
        for name in names
        if name in configured
        for ids in _spellings(options, history, name)
    ]
    for name, device_id, module_id in spellings[:_MAX_ASKED]:
        yield _at_hub(name, configured[name], device_id, module_id)


def _spellings(
    options: argparse.Namespace, history: DeviceHistory, hub: str
) -> list[tuple[str, str]]:
    """The ids as they were typed, and as the imports of a hub have them: hubs tell them apart."""
    module = options.module or ""
    ids = {(options.device, module): None}
    for item in history.found:
        if item.record.hub != hub:
            continue
        for row in item.lines:
            module_id = (row.module_id or module) if module else ""
            if is_same_id(row.id, options.device) and is_same_id(module_id, module):
                # Not one that is redacted.
                ids[row.id, module_id] = None
    # Others are not the path of a device.
    return [pair for pair in ids if not any(map(has_dot_folder, pair))]


def _at_hub(name: str, hub: HubClient, device_id: str, module_id: str) -> Presence:
    try:
        with hub_errors(name):
            status = hub.status_of(device_id)
            if module_id and status is not None:
                # Of a module whose device is missing, a hub denies access.
                status = hub.status_of(device_id, module_id)
    except CommandError as error:
        return Presence(name, device_id, module_id, None, error=str(error))
    return Presence(name, device_id, module_id, status is not None, status or "")


def _json(search: Search) -> dict[str, Any]:
    history = search.history
    return {
        "device": search.device,
        "module": search.module or None,
        "imports": [_found_json(item) for item in history.found],
        "searched": history.searched,
        "since": search.since.isoformat(),
        "hasMore": history.has_more or search.is_interrupted,
        "notSearched": [
            {**_import_json(record), "reason": reason} for record, reason in history.not_searched
        ],
        "atHubs": [
            {
                "hub": answer.hub,
                "device": answer.device,
                "module": answer.module,
                "registered": answer.is_registered,
                "status": answer.status,
                "error": answer.error,
            }
            for answer in search.answers
        ],
    }


def _found_json(item: DeviceImport) -> dict[str, Any]:
    record, undo = item.record, item.undo
    return {
        **_import_json(record),
        "uploadedAt": record.uploaded_at.isoformat(),
        "state": record.state,
        "failureReason": record.failure_reason,
        "retryOf": record.retry_of,
        "retriedAs": item.retried_as,
        "undoOf": record.undo_of,
        "undo": undo and undo.model_dump(mode="json", by_alias=True),
        "lines": [_line_json(row, item) for row in item.lines],
    }


def _import_json(record: ImportRecord) -> dict[str, Any]:
    return {"id": record.id, "hub": record.hub, "file": record.file}


def _line_json(row: LineResult, item: DeviceImport) -> dict[str, Any]:
    return {
        "line": row.line,
        "id": row.id,
        "moduleId": row.module_id,
        "importMode": row.import_mode,
        "result": row.result if item.record.state.is_final else "waiting",
        "code": row.code,
        "message": row.message,
        "remedy": row.remedy,
    }
