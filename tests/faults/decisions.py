"""What people decide about held imports of a simulation, and what they undo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta

from shared.errors import LaterImportsError, NotPossibleError
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from shared.imports.model.states import ImportState
from tests.faults.scenario import name_of_import, repeat_until_done
from tests.faults.simulation import Simulation
from tests.records import read_records

__all__ = [
    "approve",
    "cancel_undo",
    "decide",
    "decline",
    "decline_then_approve_retry",
    "is_final",
    "is_held",
    "undo_ended",
    "until",
]

ADA = Actor("ada@example.com", "11111111-1111-1111-1111-111111111111", "dashboard")

#: More than there are after any fault.
TICKS = 12


def _held(importer: Importer) -> Iterator[ImportRecord]:
    for hub in importer.services.known_hubs.all() | importer.services.hubs.keys():
        for record in read_records(importer.services, hub):
            if record.state is ImportState.HELD:
                yield record


def approve(importer: Importer) -> None:
    """Approve each held import, also if others have touched its devices since."""
    for record in _held(importer):
        digest = record.hold.digest
        try:
            importer.approvals.approve(record, digest, 0, ADA)
        except LaterImportsError as error:
            importer.approvals.approve(record, digest, len(error.imports), ADA)


def decline(importer: Importer) -> None:
    for record in _held(importer):
        importer.approvals.decline(record, "not today", ADA)


def cancel_undo(importer: Importer) -> None:
    for hub in importer.services.hubs:
        for record in read_records(importer.services, hub):
            if record.undo_of and not record.state.is_final:
                importer.actions.cancel(record)


def decline_then_approve_retry(importer: Importer) -> None:
    for record in _held(importer):
        if record.retry_of:
            approve(importer)
        else:
            decline(importer)


def until(
    simulation: Simulation, name: str, is_reached: Callable[[ImportRecord], bool]
) -> ImportRecord | None:
    """Run timers until an import is so far, which takes longer after a fault.

    Returns:
        Its record; None if it never was, as after other events than faults.
    """
    for turn in range(TICKS):
        for record in simulation.records():
            if name_of_import(simulation, record) == name and is_reached(record):
                return record
        if turn:
            # A killed process may have left a lease.
            simulation.pass_time(timedelta(minutes=2))
        simulation.without_fault(Importer.on_tick)
        simulation.wait()
    return None


def is_held(record: ImportRecord) -> bool:
    return record.state is ImportState.HELD


def is_final(record: ImportRecord) -> bool:
    return record.state.is_final


def decide(simulation: Simulation, name: str, decision: Callable[[Importer], object]) -> None:
    """Decide about an import once it is held."""
    until(simulation, name, lambda record: is_held(record) or is_final(record))
    repeat_until_done(simulation, decision)


def undo_ended(simulation: Simulation, name: str) -> None:
    """Undo an import once it has ended, when exports are not behind any more."""
    record = until(simulation, name, is_final)
    simulation.pass_time(timedelta(minutes=40))

    def undo(importer: Importer) -> None:
        if record is not None:
            with contextlib.suppress(NotPossibleError):
                importer.actions.undo(record, record.creates or 0, ADA)

    repeat_until_done(simulation, undo)
