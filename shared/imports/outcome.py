"""What a job did to the devices of an import, from the log that the hub left in its container."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.devices.linemap import LineMap
from shared.hub.errorlog import REMEDIES, FailedLine, Key, code_label, read_error_log
from shared.imports.container import ImportContainer
from shared.imports.record import ImportRecord

__all__ = ["Failure", "Outcome", "read_outcome"]

#: Codes by which the hub calls a device or module missing.
_MISSING = frozenset({"DeviceNotFound", "ModuleNotFound"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A line that the hub refused, as far as it is known."""

    failed: FailedLine
    #: Of the upload; None if no line of it fits.
    line: int | None = None
    import_mode: str = ""


@dataclass
class Outcome:
    """Failures of one import: all counted, the first ones kept with their lines."""

    failed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    #: In the order of the uploaded file; those that match no line of it come last.
    failures: list[Failure] = field(default_factory=list)
    #: Path of retry.ndjson; "" if no refused line was found in the file.
    retry: str = ""
    #: Devices and modules that the log calls missing, looked up in the registry: is it there?
    looked_up: dict[str, bool] = field(default_factory=dict)

    @property
    def doubtful(self) -> Iterator[FailedLine]:
        """Refused as missing, though their lines are not to delete them."""
        for failure in self.failures:
            is_deletion = failure.import_mode.lower().startswith("delete")
            if failure.failed.code in _MISSING and failure.line and not is_deletion:
                yield failure.failed

    def to_json(self) -> dict[str, Any]:
        return {
            "codes": [
                {
                    "code": code_label(code),
                    "count": count,
                    **({"remedy": REMEDIES[code]} if code in REMEDIES else {}),
                }
                for code, count in self.codes.most_common()
            ],
            "devices": [
                {
                    "line": failure.line,
                    "id": failure.failed.device_id,
                    **({"moduleId": failure.failed.module_id} if failure.failed.module_id else {}),
                    "code": code_label(failure.failed.code),
                    "message": failure.failed.text,
                }
                for failure in self.failures
            ],
            "truncated": self.failed > len(self.failures),
            "retry": self.retry,
            **({"inRegistry": self.looked_up} if self.looked_up else {}),
        }

    @property
    def example(self) -> str:
        """The first failure in words."""
        if not self.failures:
            return ""
        line, failed = self.failures[0].line, self.failures[0].failed
        what = f"module {failed.module_id!r} of " if failed.module_id else ""
        place = f"line {line:,}" if line else "a line that could not be found"
        return (
            f"The first is {what}{failed.device_id!r} on {place}."
            if failed.device_id
            else (f"The first is {place}: {failed.text}.")
        )


def read_outcome(
    record: ImportRecord, container: ImportContainer, max_failures: int
) -> Outcome | None:
    """Read the hub's log, find its devices' lines and write these to retry.ndjson.

    Returns:
        None if the hub has written no log.
    """
    chunks = container.error_log()
    if chunks is None:
        return None
    outcome = Outcome()
    refused: set[int] = set()
    pending: dict[Key, FailedLine] = {}
    for failed in read_error_log(chunks, refused):
        outcome.failed += 1
        outcome.codes[failed.code] += 1
        if len(pending) < max_failures:
            pending[failed.key] = failed
    if not refused:
        return outcome
    retry = container.retrying()
    lines = container.line_map() if record.has_line_map else LineMap()
    for number, line, key, mode in _refused_lines(
        lambda: container.staged_lines(record.fences), refused
    ):
        retry.write(line + b"\n")
        outcome.retry = container.retry_path
        if failed_line := pending.pop(key, None):
            outcome.failures.append(Failure(failed_line, lines.upload_line(number), mode))
    if outcome.retry:
        retry.commit()
    outcome.failures += map(Failure, pending.values())
    return outcome


def _refused_lines(
    staged: Callable[[], Iterable[bytes]], refused: set[int]
) -> Iterator[tuple[int, bytes, Key, str]]:
    """The staged lines that were refused, with their numbers, keys and import modes.

    A log may name the device alone where it means a module. If the device has a line of its own,
    that one is meant.
    """
    left = len(refused)
    with_lines: set[int] | None = None
    for number, line in enumerate(staged(), 1):
        if not left:
            return
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
    """Those refused keys that have a line of their own."""
    devices = (json.loads(line) for line in staged)
    keys = (hash((device["id"], device.get("moduleId") or "")) for device in devices)
    return {key for key in keys if key in refused}
