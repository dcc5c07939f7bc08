"""Use the official Python SDK like an application, in a separate environment.

Reads the hub's address from stdin and prints the results as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from azure.core.credentials import AccessToken
from azure.iot.hub import IoTHubConfigurationManager, IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ExportImportDevice,
    JobProperties,
    QuerySpecification,
    Twin,
    TwinProperties,
)
from msrest.exceptions import HttpOperationError

DEADLINE = 20.0
KEYS = ("cHJpbWFyeSBrZXkgb2YgYSB0ZXN0", "c2Vjb25kYXJ5IGtleSBvZiB0ZXN0")


def registry(manager: IoTHubRegistryManager) -> dict[str, Any]:
    created = manager.create_device_with_sas("pump", *KEYS, "enabled", status_reason="new")
    updated = manager.update_device_with_sas("pump", created.etag, *KEYS, "disabled")
    manager.update_device_with_sas("pump", "*", *KEYS, "enabled")
    module = manager.create_module_with_sas("pump", "sensor", "me", *KEYS)
    edge = manager.create_device_with_certificate_authority("edge", "enabled", iot_edge=True)
    bulk = manager.bulk_create_or_update_devices(
        [
            ExportImportDevice(id="pump", import_mode="create", status="enabled"),
            ExportImportDevice(id="valve", import_mode="create", status="disabled"),
        ]
    )
    statistics = manager.get_device_registry_statistics()
    seen = {
        "created": created.as_dict(),
        "got": manager.get_device("pump").as_dict(),
        "updated": updated.as_dict(),
        "stale": refusal(manager.update_device_with_sas, "pump", created.etag, *KEYS, "enabled"),
        "again": refusal(manager.create_device_with_sas, "pump", *KEYS, "enabled"),
        "module": module.as_dict(),
        "modules": [each.module_id for each in manager.get_modules("edge")],
        "edge": edge.as_dict(),
        "bulk": bulk.as_dict(),
        "statistics": statistics.as_dict(),
        "listed": [device.device_id for device in manager.get_devices(10)],
    }
    manager.delete_module("pump", "sensor")
    manager.delete_device("edge")
    seen["missing"] = refusal(manager.get_device, "edge")
    return seen


def twins(manager: IoTHubRegistryManager) -> dict[str, Any]:
    before = manager.get_twin("pump")
    patch = Twin(tags={"site": "north"}, properties=TwinProperties(desired={"rate": 5}))
    patched = manager.update_twin("pump", patch, before.etag)
    replaced = manager.replace_twin("valve", Twin(tags={"site": "south"}), "*")
    pages = []
    token = None
    query = QuerySpecification(query="SELECT * FROM devices WHERE is_defined(tags.site)")
    while True:
        result = manager.query_iot_hub(query, token, 1)
        pages.append([twin.device_id for twin in result.items])
        token = result.continuation_token
        if token is None:
            break
    return {
        "patched": patched.as_dict(),
        "stale": refusal(manager.update_twin, "pump", patch, before.etag),
        "replaced": replaced.as_dict(),
        "pages": pages,
        "type": result.type,
    }


def configurations(manager: IoTHubConfigurationManager) -> dict[str, Any]:
    content = ConfigurationContent(device_content={"properties.desired.rate": 5})
    wanted = Configuration(id="rates", content=content, target_condition="tags.site='north'")
    created = manager.create_configuration(wanted)
    return {
        "created": created.as_dict(),
        "listed": [each.id for each in manager.get_configurations()],
    }


def jobs(manager: IoTHubJobManager, uris: dict[str, str]) -> dict[str, Any]:
    """The first job runs until it is cancelled."""
    export = JobProperties(
        type="export",
        output_blob_container_uri=uris["output"],
        output_blob_name="all.txt",
        exclude_keys_in_export=False,
        include_configurations=True,
    )
    hanging = manager.create_import_export_job(export)
    busy = refusal(manager.create_import_export_job, export)
    manager.cancel_import_export_job(hanging.job_id)
    wanted = JobProperties(
        type="import",
        input_blob_container_uri=uris["input"],
        output_blob_container_uri=uris["output"],
        input_blob_name="fleet.txt",
        storage_authentication_type="keyBased",
    )
    imported = finish(manager, manager.create_import_export_job(wanted))
    exported = finish(manager, manager.create_import_export_job(export))
    rejected = JobProperties(type="export", output_blob_container_uri=uris["output"] + "x")
    return {
        "imported": imported.as_dict(),
        "exported": exported.as_dict(),
        "listed": [job.job_id for job in manager.get_import_export_jobs()],
        "refused": refusal(manager.create_import_export_job, rejected),
        "busy": busy,
        "cancelled": manager.get_import_export_job(hanging.job_id).status,
        "unknown": refusal(manager.get_import_export_job, "no-such-job"),
    }


def finish(manager: IoTHubJobManager, job: JobProperties) -> JobProperties:
    assert job.status == "enqueued", job.status
    deadline = time.monotonic() + DEADLINE
    while job.status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline, "the job does not end"
        job = manager.get_import_export_job(job.job_id)
    return job


def refusal(call: Any, *arguments: Any) -> tuple[int, str]:
    try:
        call(*arguments)
    except HttpOperationError as error:
        return error.response.status_code, error.response.headers["iothub-errorcode"]
    raise AssertionError("the hub did not refuse")


class Credential:
    """A credential with a fixed Entra ID token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(self.token, int(time.time()) + 3600)


def main() -> None:
    hub = json.load(sys.stdin)
    connection_string = hub["connectionString"]
    credential = Credential(hub["token"])
    by_token = IoTHubRegistryManager.from_token_credential(hub["host"], credential)
    manager = IoTHubRegistryManager.from_connection_string(connection_string)
    seen = {
        "registry": registry(manager),
        "twins": twins(manager),
        "configurations": configurations(
            IoTHubConfigurationManager.from_connection_string(connection_string)
        ),
        "jobs": jobs(IoTHubJobManager.from_connection_string(connection_string), hub["uris"]),
        "by_token": by_token.get_device("pump").device_id,
        "scopes": sorted(set(credential.scopes)),
    }
    # The client's AMQP part connects only when it sends: it must not connect at the end.
    by_token.amqp_svc_client = manager.amqp_svc_client = None
    json.dump(seen, sys.stdout)


main()
