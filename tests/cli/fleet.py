"""What tests of commands that read a hub's registry need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.app import App

ROOT = Path(__file__).parents[2]
KEYS = ("a2V5LW9uZS1vZi10aGUtZGV2aWNl", "a2V5LXR3by1vZi10aGUtZGV2aWNl")


def line(device_id: str, keys: tuple[str, str] = KEYS, **members: Any) -> dict[str, Any]:
    symmetric = dict(zip(("primaryKey", "secondaryKey"), keys, strict=True))
    return {
        "id": device_id,
        "status": "enabled",
        "authentication": {"type": "sas", "symmetricKey": symmetric},
        "tags": {"site": "east"},
        "properties": {"desired": {}},
        **members,
    }


def change(device_id: str, mode: str) -> dict[str, Any]:
    return {"id": device_id, "status": "enabled", "importMode": mode}


def ndjson(*lines: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def leftovers(app: App) -> list[str]:
    """Containers of exports in the storage account, which other tests share."""
    table = app.settings["IMPORTS_TABLE"]
    containers = app.blobs.list_containers("import-", include_metadata=True)
    return [each.name for each in containers if (each.metadata or {}).get("table") == table]


def owner(app: App) -> None:
    """Use a policy with all rights, as an operator may have."""
    app.configure(IOTHUB=app.hub.connection_string())


def write(*lines: object) -> str:
    Path("fleet.ndjson").write_bytes(ndjson(*lines))
    return "fleet.ndjson"


def jobs(app: App) -> list[tuple[str, str]]:
    return [(job["type"], job["status"]) for job in app.hub.jobs]
