"""Rows of imports as tests pin them: values that differ between runs are placeholders."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from azure.data.tables import TableServiceClient

from shared.imports.store.rows import SCHEMA
from tests.app import App, device

NAME = "fleet.ndjson"
CA = {"type": "certificateAuthority"}
GOOD = device("pump-1", authentication=CA)


#: Columns whose values differ between runs, or are pinned elsewhere.
_ALWAYS_DIFFERENT = frozenset(
    {
        *("jobId", "writeId", "uploadEtag", "stagedEtag", "failureReason"),
        *("planDigest", "plannedStagedEtag", "plannedStagedSuffix"),
    }
)


def row(app: App) -> dict[str, Any]:
    """The only import's row; values that differ between runs are replaced by placeholders."""
    settings = app.settings
    with TableServiceClient.from_connection_string(settings["ImporterStorage"]) as service:
        table = service.get_table_client(settings["IMPORTS_TABLE"])
        [entity] = table.query_entities("RowKey ge 'import-' and RowKey lt 'import.'")
        queue_rows = list(table.query_entities("RowKey ge 'queue-' and RowKey lt 'queue.'"))
    assert queue_rows == []
    hub, import_id, job_id = entity["hub"], entity["id"], entity.get("jobId", "")
    assert hub == next(iter(app.importer.services.hubs), None) or hub == "(none)"
    assert not job_id or job_id in [job["jobId"] for job in app.hub.jobs]
    return {name: _known(name, value, hub, import_id) for name, value in sorted(entity.items())}


def _known(name: str, value: Any, hub: str, import_id: str) -> Any:
    if isinstance(value, datetime):
        return "<time>"
    if name == "history":
        return [state for state, time in json.loads(value) if datetime.fromisoformat(time).tzinfo]
    if name == "acts":
        return [act[0] for act in json.loads(value)]
    if name in ("planCounts", "validation"):
        return json.loads(value)
    if not isinstance(value, str):
        return value
    if name in _ALWAYS_DIFFERENT:
        return f"<{name}>"
    value = re.sub(r"-(\d{10}|\d{13}|\d{16})(?=-)", "-<time>", value)
    value = re.sub(r"/(report|retry|plan)-[0-9a-f]{12}\.", r"/\1-<hex>.", value)
    return value.replace(import_id, "<id>").replace(hub, "<hub>")


def assert_reason(app: App, *facts: str) -> None:
    [record] = [*app.records(), *app.records("(none)")]
    for fact in facts:
        assert fact in record.failure_reason


#: Columns of every row.
UPLOAD = {
    "PartitionKey": "<hub>",
    "RowKey": "import-<time>-<id>",
    "apply": "all",
    "approval": "never",
    "backup": "never",
    "createdAt": "<time>",
    "stagedGeneration": 0,
    "file": NAME,
    "finishedAt": "<time>",
    "hasLineMap": False,
    "hub": "<hub>",
    "id": "<id>",
    "unexpectedErrors": 0,
    "schema": SCHEMA,
    "writeId": "<writeId>",
    "hubRetries": 0,
    "updatedAt": "<time>",
    "uploadEtag": "<uploadEtag>",
    "uploadedAt": "<time>",
}
VALIDATED = {**UPLOAD, "validationAttempts": 1, "queueKey": "queue-<time>-<time>-<id>"}
COUNTS = {
    "authenticationTypes": {"certificateAuthority": 1},
    "codes": {},
    "format": "ndjson",
    "importModes": {"createOrUpdate": 1},
    "lines": 1,
    "severities": {"error": 0, "info": 0, "warning": 0},
    "truncated": False,
    "valid": 1,
    "leftOut": 0,
}
#: The file that contains only `GOOD`.
STAGED = {
    **VALIDATED,
    "container": "import-<id>",
    "devices": 1,
    "invalidLines": 0,
    "lines": 1,
    "size": 89,
    "stagedBytes": 90,
    "stagedEtag": "<stagedEtag>",
    "validation": COUNTS,
}
#: Columns of an import of which the hub applied nothing.
NOTHING_APPLIED = {"imported": 0, "failed": 0}
#: Columns of an import that was alone in its job.
HAD_JOB = {**STAGED, "jobRecord": "<id>", "jobFiles": 1}
JOB_STARTED = {
    **HAD_JOB,
    "endTimeUtc": "<time>",
    "jobId": "<jobId>",
    "lastStartAt": "<time>",
    "report": "import-<id>/report-<hex>.json",
    "startTimeUtc": "<time>",
}


def start(app: App, *lines: object) -> None:
    app.upload(NAME, *(lines or (GOOD,)))
    app.deliver(NAME)


def cancel(app: App) -> None:
    record = app.record(NAME)
    app.importer.actions.cancel(record)
