"""The outcome of a job for the devices of each of its imports, from the log that the hub wrote.

What the log says of a line is told to the import of that line alone. In a job of one import that is
all of it. In a job of several, `LineOwners` finds whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azure.core.exceptions import AzureError

from shared.errors import ImporterError, PermanentError, first_line
from shared.hub.error_codes import EXPLANATIONS
from shared.hub.error_log import LOG_NAME, FailedLine, read_error_log
from shared.hub.explain import code_label, remedy_of
from shared.imports.model.record import ImportRecord
from shared.imports.store.import_container import ImportContainer
from shared.imports.workflow.changed_devices import (
    MISSING,
    as_reported,
    changed_remedy,
    was_planned_guarded,
)
from shared.imports.workflow.line_owners import LineOwners, object_in
from shared.imports.workflow.rejected_lines import (
    LineKey,
    lines_with_fate,
    planned_key,
    rejected_lines,
)
from shared.logs import logger
from shared.redaction import redact_id
from shared.storage.blobs import StoredFile
from shared.storage.client import IncompleteReadError, is_outage

__all__ = [
    "Failure",
    "JobOutcome",
    "UnreadableLogError",
    "identified",
    "outcome_without_job",
    "read_outcomes",
]

log = logger(__name__)


class UnreadableLogError(PermanentError):
    """The hub's log exists and cannot be read."""


#: Codes that are counted one by one; hubs have fewer, but a log may contain anything.
MAX_CODES = 200

OTHER_CODES = "other codes"


@dataclass(frozen=True, slots=True)
class Failure:
    """A line that the hub rejected, as far as it is known."""

    failed: FailedLine
    #: Line of the upload; None if it was not found.
    line: int | None = None
    import_mode: str = ""


@dataclass
class JobOutcome:
    """Failures of one import: all counted, the first ones kept with their lines."""

    is_of_undo: bool = False
    failed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    #: Those of lines whose devices changed after they were compared with the registry.
    changed_codes: Counter[str] = field(default_factory=Counter)
    #: In the order of the uploaded file; those that match no line of it come last.
    failures: list[Failure] = field(default_factory=list)
    #: Path of the rejected lines; "" if none was found in the staged file.
    retry: str = ""
    #: What could not be read or written, for the reason.
    troubles: list[str] = field(default_factory=list)
    #: Entries of the log that name no line of the file: then the counts are not known.
    unidentified: int = 0
    #: Entries of the log of a job of several imports that name no line of any of them.
    unattributed: int = 0
    #: Devices and modules that the log reports as missing: whether the registry has them.
    in_registry: dict[str, bool] = field(default_factory=dict)

    def add(self, failed: FailedLine) -> None:
        """Add a line that was not sent, since another one failed."""
        self.failed += 1
        self.codes[failed.code] += 1
        self.changed_codes[failed.code] += 1
        self.failures.append(Failure(failed))

    @property
    def reported_missing(self) -> Iterator[FailedLine]:
        """Rejected as missing, though their lines do not delete them."""
        for failure in self.failures:
            is_deletion = failure.import_mode.lower().startswith("delete")
            if failure.failed.code in MISSING and failure.line and not is_deletion:
                yield failure.failed

    @property
    def explained_codes(self) -> Iterator[tuple[str, int, str]]:
        """Codes with their counts and remedies, "" for none; the most frequent first."""
        for code, count in self.codes.most_common():
            changed = self.changed_codes[code]
            if count > changed:
                yield code, count - changed, remedy_of(code)
            if changed:
                yield code, changed, changed_remedy(is_of_undo=self.is_of_undo)

    def to_json(self) -> dict[str, Any]:
        in_registry = {redact_id(name): exists for name, exists in self.in_registry.items()}
        return {
            "codes": [
                {
                    "code": code_label(code),
                    "count": count,
                    **({"remedy": remedy} if remedy else {}),
                }
                for code, count, remedy in self.explained_codes
            ],
            "devices": [
                {
                    "line": failure.line,
                    "id": failure.failed.shown_id,
                    **(
                        {"moduleId": failure.failed.shown_module_id}
                        if failure.failed.module_id
                        else {}
                    ),
                    "code": code_label(failure.failed.code),
                    "message": failure.failed.text,
                }
                for failure in self.failures
            ],
            "truncated": self.failed > len(self.failures),
            "retry": self.retry,
            **({"inRegistry": in_registry} if in_registry else {}),
            **({"unattributed": self.unattributed} if self.unattributed else {}),
        }

    @property
    def example(self) -> str:
        """The first failure as a sentence."""
        if not self.failures:
            return ""
        line, failed = self.failures[0].line, self.failures[0].failed
        what = f"module {failed.shown_module_id!r} of " if failed.module_id else ""
        place = f"line {line:,}" if line else "a line that could not be found"
        if failed.device_id:
            place = f"{what}{failed.shown_id!r} on {place}"
        # Of a known code, the message only repeats the id.
        is_clear = failed.device_id and failed.code in EXPLANATIONS
        message = "" if is_clear or not failed.text else f": {failed.text.rstrip('.')}"
        return f"The first is {place}{message}."


class _Reading:
    """What is found out about the lines of one import."""

    def __init__(self, outcome: JobOutcome, refused: set[int], max_failures: int) -> None:
        self.outcome = outcome
        #: Hashes of the keys of rejected lines.
        self.refused = refused
        #: By the hash of its key, as the key may hold a whole line.
        self.pending: dict[int, FailedLine] = {}
        self._max_failures = max_failures

    def add(
        self, failed: FailedLine, line_key: LineKey | None = None, *, was_guarded: bool = False
    ) -> None:
        """Count a failure.

        Args:
            was_guarded: whether the line was sent so that it fails if its device has changed.
        """
        outcome = self.outcome
        outcome.failed += 1
        outcome.unidentified += not failed.is_identified
        is_listed = failed.code in outcome.codes or len(outcome.codes) < MAX_CODES
        outcome.codes[failed.code if is_listed else OTHER_CODES] += 1
        failed, has_changed = as_reported(failed, was_guarded=was_guarded)
        outcome.changed_codes[failed.code] += has_changed
        key = hash(line_key or failed.key)
        self.refused.add(key)
        if len(self.pending) < self._max_failures:
            self.pending[key] = replace(failed, raw_line="")


def read_outcomes(
    job_log: StoredFile,
    members: Sequence[tuple[ImportRecord, ImportContainer] | None],
    owners: Callable[[], LineOwners] | None,
    max_failures: int,
    *,
    is_last_try: bool,
) -> Sequence[JobOutcome]:
    """Read the hub's log, find the lines of its devices and write them down for a retry.

    Args:
        members: the imports of the job with their containers; None for one that has ended.
        owners: reads whose lines are whose; None if there is but one import.
        is_last_try: use what can be read, as it is not read again.

    Raises:
        UnreadableLogError: the log, or the staged file, cannot be read now.
        AzureError: storage is unavailable.
    """
    seen: set[int] = set()
    is_planned = any(member is not None and member[0].is_planned for member in members)
    is_guarded = any(member is not None and member[0].plan.as_of for member in members)
    readings = [
        # A million hashes are kept once.
        _Reading(
            JobOutcome(is_of_undo=member is not None and bool(member[0].undo_of)),
            set() if is_planned or owners else seen,
            max_failures,
        )
        for member in members
    ]
    for reading, member in zip(readings, members, strict=True):
        if member is not None:
            _add_planned_failures(*member, reading)
    try:
        failures: Iterable[FailedLine] = read_error_log(job_log.chunks(), seen)
        if owners is None:
            if is_planned:
                failures = map(identified, failures)
            for failed in failures:
                # Once, though the log may quote a line that was sent and name its device.
                if not is_planned or hash(failed.key) not in readings[0].refused:
                    readings[0].add(failed, was_guarded=is_guarded)
        else:
            _split(failures, owners, readings)
    except (AzureError, ImporterError, ValueError, KeyError) as error:
        if is_outage(error):
            raise
        why = first_line(error).rstrip(".")
        raise UnreadableLogError(f"{LOG_NAME} cannot be read ({why}).") from error
    for reading, member in zip(readings, members, strict=True):
        if reading.refused and member is not None:
            _look_for_lines(*member, reading, is_last_try=is_last_try)
        reading.outcome.failures += map(Failure, reading.pending.values())
    return [reading.outcome for reading in readings]


def outcome_without_job(
    record: ImportRecord, container: ImportContainer, max_failures: int
) -> JobOutcome:
    """The outcome of an import whose plan sends nothing.

    Raises:
        AzureError: storage is unavailable.
    """
    reading = _Reading(JobOutcome(is_of_undo=bool(record.undo_of)), set(), max_failures)
    _add_planned_failures(record, container, reading)
    if reading.refused:
        _look_for_lines(record, container, reading, is_last_try=True)
    reading.outcome.failures += map(Failure, reading.pending.values())
    return reading.outcome


def _add_planned_failures(
    record: ImportRecord, container: ImportContainer, reading: _Reading
) -> None:
    """Add the lines that were not sent since the hub would have rejected them."""
    if not record.plan.failures:
        return
    try:
        for failed in container.plan_failures(record):
            was_guarded = was_planned_guarded(failed, is_of_undo=bool(record.undo_of))
            reading.add(failed, planned_key(failed), was_guarded=was_guarded)
    except (AzureError, ImporterError, ValueError, KeyError) as error:
        if is_outage(error):
            raise
        log.warning("the failures of the plan cannot be read", exc_info=True)
        outcome = reading.outcome
        outcome.failed = max(outcome.failed, record.plan.failed or 0)
        outcome.troubles.append(
            f"The lines that were not sent are not known: a file of the plan cannot be read "
            f"({first_line(error)})."
        )


def identified(failed: FailedLine) -> FailedLine:
    """The failure of a line that a plan sent: what the hub quotes is not the line of the file."""
    if failed.device_id or not failed.raw_line:
        return failed
    line = object_in(failed.raw_line)
    device_id, module_id = line.get("id"), line.get("moduleId")
    if not isinstance(device_id, str):
        return failed
    module_id = module_id if isinstance(module_id, str) else ""
    return replace(failed, device_id=device_id, module_id=module_id, raw_line="")


def _split(
    failures: Iterable[FailedLine], read_owners: Callable[[], LineOwners], readings: list[_Reading]
) -> None:
    """Tell each import what failed of it."""
    owners: LineOwners | None = None
    unattributed = 0
    for failed in failures:
        owners = owners or read_owners()
        owner, failed = owners.find(failed)
        if owner is not None:
            # Once, though the log may have its id in several spellings.
            if hash(failed.key) not in readings[owner].refused:
                readings[owner].add(failed)
        else:
            # It may be of any of them. It is not quoted: it may hold a line of one of them.
            unattributed += 1
    for reading in readings:
        reading.outcome.unattributed = unattributed


def _look_for_lines(
    record: ImportRecord, container: ImportContainer, reading: _Reading, *, is_last_try: bool
) -> None:
    outcome = reading.outcome
    try:
        _find_lines(record, container, outcome, reading.refused, reading.pending)
    except (AzureError, ImporterError, ValueError, KeyError) as error:
        if is_outage(error):
            raise
        if isinstance(error, IncompleteReadError) and not is_last_try:
            why = first_line(error).rstrip(".")
            raise UnreadableLogError(f"The staged file cannot be read ({why}).") from error
        log.warning("the lines of rejected devices cannot be found", exc_info=True)
        outcome.retry = ""
        outcome.troubles.append(
            "The lines of the failed devices are not known: the staged file cannot be read "
            f"({first_line(error)})."
        )


def _find_lines(
    record: ImportRecord,
    container: ImportContainer,
    outcome: JobOutcome,
    refused: set[int],
    pending: dict[int, FailedLine],
) -> None:
    """Note the line of each rejected device, and write these lines down for a retry."""
    writer, path = container.write_rejected_lines()
    lines = container.line_map(record.staged)
    found: set[int] = set()
    repeated: set[int] = set()
    for number, line, key, mode in rejected_lines(
        lambda: lines_with_fate(record, container), refused
    ):
        writer.write(line + b"\n")
        (repeated if hash(key) in found else found).add(hash(key))
        if failed_line := pending.pop(hash(key), None):
            outcome.failures.append(Failure(failed_line, lines.upload_line(number), mode))
    # Of several modules whose log names the device alone, it is not known which one failed.
    outcome.unidentified = len(refused - found) + len(repeated)
    if found:
        writer.commit()
        outcome.retry = path
