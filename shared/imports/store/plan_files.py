"""The files of a plan, in the container of its import.

Each plan gets new names: of two processes that plan an import at the same time, the files of the
one that loses are never read.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from azure.storage.blob import ContainerClient

from shared.hub.error_log import FailedLine
from shared.imports.model.parts import Plan, StagedFile
from shared.plan.model import Action, Note
from shared.plan.planner import PlannedText
from shared.plan.report import CSV_HEADER, csv_line
from shared.storage.blobs import BlockWriter, StoredFile

__all__ = [
    "CHANGED_WHILE_HELD",
    "DEVICE_NOT_MADE",
    "IMPORTED_RECENTLY",
    "PlanFiles",
    "failure_line",
    "read_failures",
]

#: What the report says of a line that was not sent.
_NOT_SENT = "Not sent: by the plan, the hub would reject it"
IMPORTED_RECENTLY = (
    f"{_NOT_SENT}. An import changed the device a short time before, which the export may not "
    "show: it can be compared 30 minutes after that import"
)


#: The same of a line whose device was not any more what was approved.
CHANGED_WHILE_HELD = "Not sent: the device changed after the plan that was approved"

#: The same of a module whose device was not made again by the first job of an undo.
DEVICE_NOT_MADE = "Not sent: the undo did not make its device again"


class PlanFiles:
    """Writes the plan of an import line by line; nothing of it can be read before `commit`."""

    def __init__(self, client: ContainerClient, *, keeps_prints: bool) -> None:
        """Begin the files.

        Args:
            keeps_prints: whether the import may have to be approved.
        """
        self._client = client
        self._keeps_prints = keeps_prints
        self._deletes = False
        token = uuid.uuid4().hex[:12]
        self._json_name = f"plan-{token}.json"
        self._rows = self._writer(f"plan-{token}.csv")
        self._rows.write(CSV_HEADER.encode())
        self._failures = self._writer(f"plan-{token}.ndjson")
        self._prints = self._writer(f"plan-{token}.txt")
        # The letter keeps it from being read as the number of a renamed file.
        self._file = StagedFile(
            container=str(client.container_name), stem="planned", suffix=f"p{token}"
        )
        self._sent = self._writer(self._file.name)
        self._second_file = replace(self._file, stem="modules")
        self._second = self._writer(self._second_file.name)

    @property
    def second_lines(self) -> int:
        return self._second.lines

    def add(self, line: PlannedText, upload_line: int, line_print: str) -> None:
        """Add the plan of a line, and its print."""
        planned = line.planned
        if self._keeps_prints:
            self._prints.write(f"{line_print}\n".encode())
            self._deletes |= planned.action is Action.DELETE
        self._rows.write(csv_line(upload_line, planned).encode())
        if line.guarded:
            writer = self._second if line.is_second else self._sent
            writer.write(line.guarded + b"\n")
        if planned.action is Action.FAIL:
            text = IMPORTED_RECENTLY if Note.IMPORTED_RECENTLY in planned.notes else _NOT_SENT
            if Note.CHANGED_WHILE_HELD in planned.notes:
                text = CHANGED_WHILE_HELD
            failed = FailedLine(planned.id, planned.module_id, planned.code, text)
            self._failures.write(failure_line(failed))

    def commit(self, plan: Plan, report: dict[str, Any]) -> tuple[Plan, StagedFile, StagedFile]:
        """Write all files.

        Args:
            plan: is completed by their paths and the number of lines in them.
            report: plan.json.

        Returns:
            Also the file of the lines to send, and that of a second job; each without a container
            if there is none.
        """
        data = json.dumps(report, ensure_ascii=False, indent=2).encode()
        self._client.upload_blob(self._json_name, data, overwrite=True)
        self._rows.commit()
        if self._failures.lines:
            self._failures.commit()
        if self._deletes:
            self._prints.commit()
        file, second = (
            replace(file, etag=writer.commit(), size=writer.size) if writer.lines else StagedFile()
            for file, writer in ((self._file, self._sent), (self._second_file, self._second))
        )
        plan = replace(
            plan,
            path=self._path(self._json_name),
            rows=self._path(self._rows.name),
            failures=self._path(self._failures.name) if self._failures.lines else "",
            prints=self._path(self._prints.name) if self._deletes else "",
            sent=self._sent.lines + self._second.lines,
            failed=self._failures.lines,
        )
        return plan, file, second

    def _writer(self, name: str) -> BlockWriter:
        return BlockWriter(self._client.get_blob_client(name))

    def _path(self, name: str) -> str:
        return f"{self._client.container_name}/{name}"


def failure_line(failed: FailedLine) -> bytes:
    """A line of the file of failures."""
    failure = {
        "id": failed.device_id,
        "moduleId": failed.module_id,
        "code": failed.code,
        "text": failed.text,
    }
    return json.dumps(failure).encode() + b"\n"


def read_failures(file: StoredFile) -> Iterator[FailedLine]:
    """The lines of a plan that failed, or are not sent.

    Raises:
        ValueError, KeyError: the file was edited.
    """
    for line in file.lines():
        failure = json.loads(line)
        yield FailedLine(failure["id"], failure["moduleId"], failure["code"], failure["text"])
