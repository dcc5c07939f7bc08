"""The outcome of a job for the devices of an import, from the log that the hub wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from azure.core.exceptions import AzureError

from shared.errors import ImporterError, PermanentError, first_line
from shared.hub.error_codes import EXPLANATIONS
from shared.hub.error_log import LOG_NAME, FailedLine, Key, read_error_log
from shared.hub.explain import code_label, remedy_of
from shared.imports.model.record import ImportRecord
from shared.imports.store.import_container import ImportContainer
from shared.logs import logger
from shared.redaction import redact_id
from shared.storage.client import IncompleteReadError, is_outage

__all__ = ["Failure", "JobOutcome", "UnreadableLogError", "read_outcome"]

log = logger(__name__)


class UnreadableLogError(PermanentError):
    """The hub's log exists and cannot be read."""


#: Codes by which the hub reports a device or module as missing.
_MISSING = frozenset({"DeviceNotFound", "ModuleNotFound"})

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

    failed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    #: In the order of the uploaded file; those that match no line of it come last.
    failures: list[Failure] = field(default_factory=list)
    #: Path of the rejected lines; "" if none was found in the staged file.
    retry: str = ""
    #: What could not be read or written, for the reason.
    troubles: list[str] = field(default_factory=list)
    #: Entries of the log that name no line of the file: then the counts are not known.
    unidentified: int = 0
    #: Devices and modules that the log reports as missing: whether the registry has them.
    in_registry: dict[str, bool] = field(default_factory=dict)

    @property
    def reported_missing(self) -> Iterator[FailedLine]:
        """Rejected as missing, though their lines do not delete them."""
        for failure in self.failures:
            is_deletion = failure.import_mode.lower().startswith("delete")
            if failure.failed.code in _MISSING and failure.line and not is_deletion:
                yield failure.failed

    def to_json(self) -> dict[str, Any]:
        in_registry = {redact_id(name): exists for name, exists in self.in_registry.items()}
        return {
            "codes": [
                {
                    "code": code_label(code),
                    "count": count,
                    **({"remedy": remedy} if (remedy := remedy_of(code)) else {}),
                }
                for code, count in self.codes.most_common()
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


def read_outcome(
    record: ImportRecord, container: ImportContainer, max_failures: int, *, is_last_try: bool
) -> JobOutcome | None:
    """Read the hub's log, find the lines of its devices and write them down for a retry.

    Args:
        is_last_try: use what can be read, as it is not read again.

    Returns:
        None if the hub has written no log.

    Raises:
        UnreadableLogError: there is a log, and it or the staged file cannot be read now.
        AzureError: storage is unavailable.
    """
    outcome = JobOutcome()
    refused: set[int] = set()
    #: By the hash of its key, as the key may hold a whole line.
    pending: dict[int, FailedLine] = {}
    try:
        chunks = container.error_log()
        if chunks is None:
            return None
        for failed in read_error_log(chunks, refused):
            outcome.failed += 1
            outcome.unidentified += not failed.is_identified
            is_listed = failed.code in outcome.codes or len(outcome.codes) < MAX_CODES
            outcome.codes[failed.code if is_listed else OTHER_CODES] += 1
            if len(pending) < max_failures:
                pending[hash(failed.key)] = replace(failed, raw_line="")
    except (AzureError, IncompleteReadError) as error:
        if is_outage(error):
            raise
        why = first_line(error).rstrip(".")
        raise UnreadableLogError(f"{LOG_NAME} cannot be read ({why}).") from error
    if refused:
        try:
            _find_lines(record, container, outcome, refused, pending)
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
    outcome.failures += map(Failure, pending.values())
    return outcome


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
    for number, line, key, mode in _rejected_lines(lambda: container.staged_lines(record), refused):
        writer.write(line + b"\n")
        found.add(hash(key))
        if failed_line := pending.pop(hash(key), None):
            outcome.failures.append(Failure(failed_line, lines.upload_line(number), mode))
    outcome.unidentified = len(refused - found)
    if found:
        writer.commit()
        outcome.retry = path


def _rejected_lines(
    staged: Callable[[], Iterable[bytes]], refused: set[int]
) -> Iterator[tuple[int, bytes, Key, str]]:
    """The staged lines that were rejected, with their numbers, keys and import modes.

    A log may name the device alone for a line of a module; not if the device has a line of its own.
    """
    left = len(refused)
    with_lines: set[int] | None = None
    # To the end, so that all lines are counted.
    for number, line in enumerate(staged(), 1):
        if not left:
            continue
        device = json.loads(line)
        device_id, module_id = device["id"], device.get("moduleId") or ""
        mode = device.get("importMode") or ""
        key: Key = (device_id, module_id)
        if hash(key) not in refused:
            key = line.decode()
        if hash(key) in refused:
            left -= 1
            yield number, line, key, mode
        elif module_id and hash((device_id, "")) in refused:
            if with_lines is None:
                with_lines = _with_lines(staged(), refused)
            if hash((device_id, "")) not in with_lines:
                yield number, line, (device_id, ""), mode


def _with_lines(staged: Iterable[bytes], refused: set[int]) -> set[int]:
    """The rejected keys that have a line of their own."""
    devices = (json.loads(line) for line in staged)
    keys = (hash((device["id"], device.get("moduleId") or "")) for device in devices)
    return {key for key in keys if key in refused}
