"""Imports that are compared with the registry: their devices, and what became of them."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

from shared.imports.model.job import JobKind, JobRecord
from shared.imports.model.record import ImportRecord
from tests.app import App, device

NAME = "pumps.ndjson"


def keys(seed: int) -> dict[str, object]:
    primary, secondary = (base64.b64encode(bytes([seed, end]) * 16).decode() for end in (1, 2))
    return {"type": "sas", "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def pump(number: int, site: str = "a", **members: object) -> dict[str, object]:
    return device(f"pump-{number}", authentication=keys(number), tags={"site": site}, **members)


def put_pumps(app: App, count: int) -> None:
    for number in range(count):
        app.hub.registry.put(pump(number))


def use_lookups(app: App) -> None:
    """Let the app read twins; with the policy of other tests, it exports even two devices."""
    app.configure(IOTHUB=app.hub.connection_string("iothubowner"))


def send(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    """Upload a file and deliver its event."""
    app.upload(name, *lines)
    app.deliver(name)
    return app.record(name)


def is_exported(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    """Upload a file, whose export is complete at the hub but not read yet."""
    record = send(app, *lines, name=name)
    assert record.state == "planning"
    app.hub.wait_idle()
    return record


def plan_job(app: App) -> JobRecord:
    """The job of the only comparison."""
    [job] = app.importer.services.jobs.all(app.hub.address).values()
    assert job.kind is JobKind.PLAN
    return job


def exports(app: App) -> list[dict[str, Any]]:
    return [job for job in app.hub.jobs if job["type"] == "export"]


def imports(app: App) -> list[dict[str, Any]]:
    return [job for job in app.hub.jobs if job["type"] == "import"]


def site(app: App, number: int) -> object:
    """The tag of a device; None if it is not in the registry."""
    found = app.hub.registry.get(f"pump-{number}")
    return found and found["tags"]["site"]


def counts(record: ImportRecord) -> tuple[str, int | None, int | None, int | None]:
    """State, and lines that were imported, failed and unchanged."""
    return record.state.value, record.imported, record.failed, record.unchanged


def blob(app: App, record: ImportRecord, path: str) -> str:
    """A file of the import's container, by the path in its record."""
    client = app.container_of(record).get_blob_client(path.rpartition("/")[2])
    text: str = client.download_blob().readall().decode()
    return text


def plan_rows(app: App, record: ImportRecord) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(blob(app, record, record.plan.rows))))


def actions(app: App, record: ImportRecord) -> list[str]:
    return [row["action"] for row in plan_rows(app, record)]


def plan_json(app: App, record: ImportRecord) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(blob(app, record, record.plan.path))
    return plan


def retry_lines(app: App, record: ImportRecord) -> list[dict[str, Any]]:
    return [json.loads(line) for line in blob(app, record, record.retry).splitlines()]


def failed_lines(app: App, record: ImportRecord) -> list[tuple[int | None, str, str]]:
    """Line, id and code of each failure in the report."""
    devices = app.report(record)["failures"]["devices"]
    return [(item["line"], item["id"], item["code"]) for item in devices]


def snapshots(app: App) -> list[str]:
    """The containers of exports that are left."""
    owner = app.settings["IMPORTS_TABLE"]
    found = app.importer.services.storage.containers("import-")
    return [
        item.name
        for item in found
        if "-snapshot-" in item.name and (item.metadata or {}).get("table") == owner
    ]


def rows_of(app: App, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind: `job`, `import` or `queue`."""
    return [dict(row) for row in app.table.list_entities() if row["RowKey"].startswith(f"{kind}-")]
