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
from shared.imports.model.record import Plan, StagedFile
from shared.plan.model import Action, Note
from shared.plan.planner import PlannedText
from shared.plan.report import CSV_HEADER, csv_line
from shared.storage.blobs import BlockWriter, StoredFile

__all__ = ["PlanFiles", "read_failures"]

#: What the report says of a line that was not sent.
_NOT_SENT = "Not sent: by the plan, the hub would reject it"
_RECENT = (
    f"{_NOT_SENT}. An import changed the device a short time before, which the export may not "
    "show: retry 30 minutes after that import"
)


class PlanFiles:
    """Writes the plan of an import line by line; nothing of it can be read before `commit`."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client
        token = uuid.uuid4().hex[:12]
        self._json_name = f"plan-{token}.json"
        self._rows = self._writer(f"plan-{token}.csv")
        self._rows.write(CSV_HEADER.encode())
        self._failures = self._writer(f"plan-{token}.ndjson")
        # The letter keeps it from being read as the number of a renamed file.
        self._file = StagedFile(
            container=str(client.container_name), stem="planned", suffix=f"p{token}"
        )
        self._sent = self._writer(self._file.name)

    def add(self, line: PlannedText, upload_line: int) -> None:
        """Add the plan of a line."""
        planned = line.planned
        self._rows.write(csv_line(upload_line, planned).encode())
        if line.guarded:
            self._sent.write(line.guarded + b"\n")
        if planned.action is Action.FAIL:
            failure = {
                "id": planned.id,
                "moduleId": planned.module_id,
                "code": planned.code,
                "isRecent": Note.IMPORTED_RECENTLY in planned.notes,
            }
            self._failures.write(json.dumps(failure).encode() + b"\n")

    def commit(self, plan: Plan, report: dict[str, Any]) -> tuple[Plan, StagedFile]:
        """Write all files.

        Args:
            plan: is completed by their paths and the number of lines in them.
            report: plan.json.

        Returns:
            Also the file of the lines to send; without a container if there is none.
        """
        data = json.dumps(report, ensure_ascii=False, indent=2).encode()
        self._client.upload_blob(self._json_name, data, overwrite=True)
        self._rows.commit()
        if self._failures.lines:
            self._failures.commit()
        file = StagedFile()
        if self._sent.lines:
            file = replace(self._file, etag=self._sent.commit(), size=self._sent.size)
        plan = replace(
            plan,
            path=self._path(self._json_name),
            rows=self._path(self._rows.name),
            failures=self._path(self._failures.name) if self._failures.lines else "",
            sent=self._sent.lines,
            failed=self._failures.lines,
        )
        return plan, file

    def _writer(self, name: str) -> BlockWriter:
        return BlockWriter(self._client.get_blob_client(name))

    def _path(self, name: str) -> str:
        return f"{self._client.container_name}/{name}"


def read_failures(file: StoredFile) -> Iterator[FailedLine]:
    """The lines that a plan does not send.

    Raises:
        ValueError, KeyError: the file was edited.
    """
    for line in file.lines():
        failure = json.loads(line)
        text = _RECENT if failure["isRecent"] else _NOT_SENT
        yield FailedLine(failure["id"], failure["moduleId"], failure["code"], text)
