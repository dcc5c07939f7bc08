"""Rows as the version of the app before left them: schema 1, without records of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from azure.data.tables import UpdateMode

from shared.hub.jobs import ImportJobRequest
from shared.imports.app import Importer
from tests.faults.simulation import Simulation

__all__ = ["former_rows"]

SCHEMA = 1
#: Columns that it did not have.
_NEW = ("footprint", "jobFiles", "jobRecord", "queuePosition")


def former_rows(
    simulation: Simulation,
    take: Callable[[Importer], None],
    head: str,
    state: str,
    *,
    has_job: bool = False,
    is_cancelled: bool = False,
) -> None:
    """Validate uploads, and rewrite their rows as the version before left them.

    Args:
        head: the id of the import that is in the state; all others are queued.
        has_job: whether the hub has its job.
    """
    simulation.hub.occupy_slot()
    simulation.without_fault(take)
    simulation.hub.free_slot()
    columns: dict[str, Any] = {}
    if state != "queued":
        now = simulation.clock()
        columns["lastStartAt"] = now
        columns["history"] = [state] if state == "starting" else ["starting", state]
    if state == "starting":
        columns |= {"owner": "f" * 32, "leaseUntil": now + simulation.settings.retries.lease}
    if has_job:
        simulation.without_fault(partial(_request_job, f"import-{head}"))
        [(_, job)] = simulation.jobs()
        if state == "running":
            columns |= {"jobId": job["jobId"], "jobStatus": job["status"]}
    if is_cancelled:
        columns["cancelReason"] = "operator"
    for row in simulation.rows():
        key = row["RowKey"]
        if key.startswith("job-"):
            simulation.table.delete_entity(row["PartitionKey"], key)
        elif key.startswith("queue-"):
            simulation.table.update_entity({**row, "schema": SCHEMA}, mode=UpdateMode.REPLACE)
        elif key.startswith("import-"):
            is_head = key.endswith(head)
            _rewrite(
                simulation, dict(row), state if is_head else "queued", columns if is_head else {}
            )


def _request_job(container: str, importer: Importer) -> None:
    services = importer.services
    lifetime = services.settings.jobs.sas_lifetime
    uri = services.storage.container_uri_with_sas(container, lifetime, services.clock())
    [hub] = services.hubs.values()
    hub.create_job(ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri))


def _rewrite(
    simulation: Simulation, row: dict[str, Any], state: str, columns: dict[str, Any]
) -> None:
    history = [entry for entry in json.loads(row["history"]) if entry[0] != "starting"]
    now = simulation.clock().isoformat()
    history += [[entered, now] for entered in columns.get("history", ())]
    kept = {name: value for name, value in row.items() if name not in _NEW}
    changed = {"state": state, "history": json.dumps(history), "schema": SCHEMA}
    simulation.table.update_entity({**kept, **columns, **changed}, mode=UpdateMode.REPLACE)
