"""What `find` shows as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from cli.formatting import state_text
from cli.output import Output, printable
from cli.times import full_time
from shared.imports.model.record import ImportRecord
from shared.imports.operate.device_history import DeviceHistory, DeviceImport
from shared.imports.operate.device_search import difference
from shared.imports.operate.line_results import LineResult, Result

__all__ = ["Presence", "Search", "show"]

#: Imports that could not be searched and are listed as text.
_MAX_LISTED = 10

_STYLES = {
    "waiting": "blue",
    "deleted": "magenta",
    Result.IMPORTED: "green",
    Result.UNCHANGED: "green",
    Result.FAILED: "red",
    Result.LEFT_OUT: "yellow",
    Result.UNKNOWN: "yellow",
}


@dataclass(frozen=True)
class Presence:
    """What a hub says of the device, or of a module of it."""

    hub: str
    device: str
    #: "" for the device itself.
    module: str
    #: None: the hub cannot be asked.
    is_registered: bool | None
    #: "" for a module, or if it is not registered.
    status: str = ""
    #: Why the hub cannot be asked.
    error: str = ""

    @property
    def name(self) -> str:
        return full_name(self.device, self.module)

    def __str__(self) -> str:
        if self.is_registered is None:
            return f"unknown. {printable(self.error)}"
        if not self.is_registered:
            return "not registered"
        return f"registered, {printable(self.status)}" if self.status else "registered"


@dataclass(frozen=True)
class Search:
    """What was asked for, and what was found."""

    device: str
    module: str
    hubs: Sequence[str]
    since: datetime
    limit: int
    history: DeviceHistory
    #: What hubs say of the device.
    answers: Sequence[Presence]
    is_interrupted: bool

    @property
    def name(self) -> str:
        return full_name(self.device, self.module)

    def is_known_at(self, hub: str) -> bool:
        """Whether a hub said whether it has the device."""
        of_hub = [answer.is_registered for answer in self.answers if answer.hub == hub]
        return bool(of_hub) and None not in of_hub


def full_name(device_id: str, module_id: str) -> str:
    return f"{device_id}/{module_id}" if module_id else device_id


def show(search: Search, output: Output, *, shows_hub: bool) -> None:
    """Write the imports that have the device, what was searched, and what hubs have now."""
    for item in search.history.found:
        output.item(_title(item.record, shows_hub=shows_hub))
        _show_lines(item, search, output)
        _show_steps(item, output)
        output.show(Text(""))
    _show_scope(search, output)
    is_one_name = all(answer.name == search.name for answer in search.answers)
    for answer in search.answers:
        name = "" if is_one_name else f"{printable(answer.name)} "
        output.item(Text(f"At the hub {printable(answer.hub)} now: {name}{answer}"))


def _title(record: ImportRecord, *, shows_hub: bool) -> Text:
    kind = "retry of " if record.retry_of else "undo of " if record.undo_of else ""
    title = Text.assemble(
        full_time(record.uploaded_at), "  ", kind, (printable(record.file), "bold"), "  "
    )
    title.append_text(state_text(record.state))
    return title.append(f"  {printable(record.hub)}" if shows_hub else "")


def _show_lines(item: DeviceImport, search: Search, output: Output) -> None:
    output.item(Text(output.command("show", item.record.id), "cyan"), "  ")
    for row in item.lines:
        output.item(_line_text(row, item.outcome_of(row), search.device), "  ")
        remedy = row.remedy
        if row.result is Result.UNKNOWN and search.is_known_at(item.record.hub):
            # This has just been done: see the end.
            remedy = ""
        if row.message:
            text = f"{row.message.rstrip('.')}; {remedy}" if remedy else row.message
            output.item(Text(printable(text)), "    ")
    if item.reason:
        output.item(Text(printable(f"reason: {item.reason}")), "  ")


def _line_text(row: LineResult, outcome: str, device_id: str) -> Text:
    place = "the file" if row.line is None else f"line {row.line:,}"
    text = Text(f"{place}: {printable(full_name(row.id, row.module_id))}")
    if differs := difference(row.id, device_id):
        text.append(f" ({differs})")
    text.append(f", {printable(row.import_mode)}: " if row.import_mode else ": ")
    text.append(outcome, _STYLES[outcome])
    return text.append(f" ({printable(row.code)})") if row.code else text


def _show_steps(item: DeviceImport, output: Output) -> None:
    """What can be done about its lines, or was done already."""
    id = item.record.id
    if item.retried_as:
        _show_step("retried", output.command("show", item.retried_as), output)
    elif item.can_be_retried:
        _show_step("to retry it", output.command("retry", id), output)
    if undo := item.undo:
        if undo.undone_as:
            _show_step("undone", output.command("show", undo.undone_as), output)
        until = f", until {full_time(undo.until)}" if undo.until else ""
        again = " again" if undo.undone_as else ""
        _show_step(f"to undo it{again}{until}", output.command("undo", id, "--plan"), output)


def _show_step(text: str, command: str, output: Output) -> None:
    output.item(Text.assemble(f"{text}: ", (command, "cyan")), "  ")


def _show_scope(search: Search, output: Output) -> None:
    history = search.history
    hubs = f" of {', '.join(map(printable, search.hubs))}" if search.hubs else ""
    has_more = history.has_more or search.is_interrupted
    since = (history.searched_back_to if has_more else None) or search.since
    count = f"{len(history.found):,}" if history.found else "none"
    output.item(
        Text(
            f"{printable(search.name)} is in {count} of {history.searched:,} searched imports"
            f"{hubs}, uploaded since {full_time(since)}."
        )
    )
    if history.has_more and not search.is_interrupted:
        output.item(Text(f"Older imports were not searched: use --limit {10 * search.limit}."))
    if missing := history.not_searched:
        output.item(Text(f"Not searched, so it may be in them: {len(missing):,}", "yellow"))
        for record, reason in missing[:_MAX_LISTED]:
            output.item(Text(f"{record.id}  {printable(record.file)}: {printable(reason)}"), "  ")
        if len(missing) > _MAX_LISTED:
            more = f"and {len(missing) - _MAX_LISTED:,} more; --format json lists all"
            output.item(Text(more), "  ")
