"""What a job did to the devices of an import, from the log that the hub left in its container."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.devices.linemap import LineMap
from shared.hub.errorlog import REMEDIES, FailedLine, code_label, read_error_log
from shared.imports.container import ImportContainer
from shared.imports.record import ImportRecord

__all__ = ["Outcome", "read_outcome"]

#: A device's id with a module's or "", or the text of a line that the hub could not parse.
_Key = tuple[str, str] | str


@dataclass
class Outcome:
    """Failures of one import: all counted, the first ones kept with their lines."""

    failed: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    #: In the order of the uploaded file; those that match no line of it come last, with None.
    failures: list[tuple[int | None, FailedLine]] = field(default_factory=list)

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
                    "line": line,
                    "id": failed.device_id,
                    **({"moduleId": failed.module_id} if failed.module_id else {}),
                    "code": code_label(failed.code),
                    "message": failed.text,
                }
                for line, failed in self.failures
            ],
            "truncated": self.failed > len(self.failures),
        }

    @property
    def example(self) -> str:
        """The first failure in words."""
        if not self.failures:
            return ""
        line, failed = self.failures[0]
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
    """Read the hub's log and find its devices' lines; None if the hub has written no log."""
    chunks = container.error_log()
    if chunks is None:
        return None
    outcome = Outcome()
    pending: dict[_Key, FailedLine] = {}
    nameless: list[FailedLine] = []
    for failed in read_error_log(chunks):
        outcome.failed += 1
        outcome.codes[failed.code] += 1
        if len(pending) + len(nameless) >= max_failures:
            continue
        if failed.device_id:
            pending[failed.device_id, failed.module_id] = failed
        elif failed.raw_line:
            pending[failed.raw_line] = failed
        else:
            nameless.append(failed)
    if pending:
        lines = container.line_map() if record.has_line_map else LineMap()
        for number, failed in _locate(container.staged_lines(), pending):
            outcome.failures.append((lines.upload_line(number), failed))
    outcome.failures += [(None, failed) for failed in (*pending.values(), *nameless)]
    return outcome


def _locate(
    staged: Iterable[bytes], pending: dict[_Key, FailedLine]
) -> Iterator[tuple[int, FailedLine]]:
    """The staged line of each failure that has one; takes these failures out of `pending`."""
    has_raw = any(isinstance(key, str) for key in pending)
    for number, line in enumerate(staged, 1):
        device = json.loads(line)
        key: _Key = (device["id"], device.get("moduleId") or "")
        if key not in pending and has_raw:
            key = line.decode()
        if key in pending:
            yield number, pending.pop(key)
            if not pending:
                return
