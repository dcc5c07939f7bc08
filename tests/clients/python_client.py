"""Use a version of the official Python SDK like an application, in a separate environment.

Reads the hub's address from stdin and prints the results as JSON: per call what the client made of
the answer, ``{"refused": [status, code]}``, or ``{"failed": ...}`` if the client itself failed.
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from azure.core.credentials import AccessToken
from azure.iot import hub as sdk
from azure.iot.hub.protocol import models
from msrest.exceptions import HttpOperationError

DEADLINE = 20.0
KEYS = ("cHJpbWFyeSBrZXkgb2YgYSB0ZXN0", "c2Vjb25kYXJ5IGtleSBvZiB0ZXN0")
THUMBPRINTS = ("A" * 40, "B" * 40)
SEEN: dict[str, Any] = {}


def see(name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call, and record the result under a name; return it, or None if the call failed."""
    try:
        result = call(*arguments, **options)
    except HttpOperationError as error:
        code = error.response.headers.get("iothub-errorcode", error.response.text)
        SEEN[name] = {"refused": [error.response.status_code, code]}
    except Exception as error:
        SEEN[name] = {"failed": repr(error)}
    else:
        SEEN[name] = plain(result)
        return result
    return None


def plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, list):
        return list(map(plain, value))
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return plain(vars(value)) if hasattr(value, "continuation_token") else value


def registry(manager: Any) -> None:
    created = see("create", manager.create_device_with_sas, "pump", *KEYS, "enabled")
    see("create again", manager.create_device_with_sas, "pump", *KEYS, "enabled")
    see("update", manager.update_device_with_sas, "pump", created.etag, *KEYS, "disabled")
    see("update stale", manager.update_device_with_sas, "pump", created.etag, *KEYS, "enabled")
    see("update any", manager.update_device_with_sas, "pump", "*", *KEYS, "enabled")
    see("create x509", manager.create_device_with_x509, "meter", *THUMBPRINTS, "enabled")
    see("get", manager.get_device, "pump")
    see("list", getattr(manager, "get_devices", None) or operation(manager, "get_devices"), 10)
    see("delete", manager.delete_device, "meter")
    see("get missing", manager.get_device, "meter")
    see("device statistics", manager.get_device_registry_statistics)
    see("service statistics", manager.get_service_statistics)


def bulk(manager: Any) -> None:
    device, call = models.ExportImportDevice, manager.bulk_create_or_update_devices
    edge = models.DeviceCapabilities(iot_edge=True)
    valve = device(id="valve", import_mode="create", status="disabled")
    see("bulk", call, [valve])
    see("bulk refused", call, [device(id="pump", import_mode="create", status="enabled")])
    see("bulk edge", call, [device(id="edge", import_mode="create", capabilities=edge)])
    see("bulk create", call, [device(id="passing", import_mode="create")])
    see("bulk delete", call, [device(id="passing", import_mode="delete")])
    if "iot_edge" in inspect.signature(manager.create_device_with_sas).parameters:
        create = manager.create_device_with_certificate_authority
        see("create edge", create, "second-edge", "enabled", iot_edge=True)
        see("delete edge", manager.delete_device, "second-edge")


def modules(manager: Any) -> None:
    created = see("create module", manager.create_module_with_sas, "pump", "sensor", "me", *KEYS)
    update = manager.update_module_with_sas
    see("update module", update, "pump", "sensor", "you", created.etag, *KEYS)
    see("get module", manager.get_module, "pump", "sensor")
    see("list modules", manager.get_modules, "edge")
    see("get module twin", manager.get_module_twin, "pump", "sensor")
    patch = models.Twin(properties=models.TwinProperties(desired={"rate": 5}))
    see("update module twin", manager.update_module_twin, "pump", "sensor", patch, "*")
    replacement = models.Twin(properties=models.TwinProperties(desired={"pace": 6}))
    see("replace module twin", manager.replace_module_twin, "pump", "sensor", replacement)
    see("delete module", manager.delete_module, "pump", "sensor")
    see("get missing module", manager.get_module, "pump", "sensor")


def twins(manager: Any) -> None:
    before = see("get twin", manager.get_twin, "pump")
    properties = models.TwinProperties(desired={"rate": 5})
    patch = models.Twin(tags={"site": "north"}, properties=properties)
    see("update twin", manager.update_twin, "pump", patch, before.etag)
    see("update twin stale", manager.update_twin, "pump", patch, before.etag)
    see("replace twin", manager.replace_twin, "valve", models.Twin(tags={"site": "south"}))


def queries(manager: Any) -> None:
    sites = "SELECT * FROM devices WHERE is_defined(tags.site)"
    query = models.QuerySpecification(query=sites)
    first = see("query", manager.query_iot_hub, query, None, 1)
    see("second page", manager.query_iot_hub, query, first.continuation_token, 1)


def configurations(manager: Any) -> None:
    content = models.ConfigurationContent(device_content={"properties.desired.rate": 5})
    wanted = models.Configuration(id="rates", content=content, target_condition="tags.site='north'")
    wanted.schema_version, wanted.content_type, wanted.priority = "1.0", "assignment", 3
    created = see("create configuration", manager.create_configuration, wanted)
    created.priority = 4
    see("update configuration unquoted", manager.update_configuration, created, created.etag)
    see("update configuration", manager.update_configuration, created, f'"{created.etag}"')
    see("get configuration", manager.get_configuration, "rates")
    see("list configurations", manager.get_configurations, 5)
    test = models.ConfigurationQueriesTestInput(
        target_condition="tags.site='north'",
        custom_metric_queries={"all": "SELECT deviceId FROM devices"},
    )
    see("test queries", manager.test_configuration_queries, test)
    modules = {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.0"}}}
    edge_content = models.ConfigurationContent(modules_content=modules)
    see("apply on edge", manager.apply_configuration_on_edge_device, "edge", edge_content)
    see("create passing configuration", manager.create_configuration, passing(wanted))
    see("delete configuration", manager.delete_configuration, "passing")


def passing(configuration: Any) -> Any:
    return models.Configuration(
        id="passing", content=configuration.content, target_condition="tags.site='south'"
    )


def jobs(manager: Any, uris: dict[str, str]) -> None:
    """The first job runs until it is cancelled."""
    export = models.JobProperties(
        type="export",
        output_blob_container_uri=uris["output"],
        output_blob_name="all.txt",
        exclude_keys_in_export=False,
    )
    wanted = models.JobProperties(
        type="import",
        input_blob_container_uri=uris["input"],
        output_blob_container_uri=uris["output"],
        input_blob_name="fleet.txt",
    )
    # The first versions have no such properties, and do not send them.
    export.include_configurations, wanted.storage_authentication_type = True, "keyBased"
    hanging = see("hanging export", manager.create_import_export_job, export)
    see("busy", manager.create_import_export_job, export)
    see("cancel", manager.cancel_import_export_job, hanging.job_id)
    see("cancelled", manager.get_import_export_job, hanging.job_id)
    see("import", finish, manager, wanted)
    see("export", finish, manager, export)
    see("list jobs", manager.get_import_export_jobs)
    rejected = models.JobProperties(type="export", output_blob_container_uri=uris["output"] + "x")
    see("rejected job", manager.create_import_export_job, rejected)
    see("unknown job", manager.get_import_export_job, "no-such-job")
    see("scheduled jobs", manager.query_scheduled_jobs, "scheduleUpdateTwin", "completed")
    see("all scheduled jobs", manager.query_scheduled_jobs, None, None)
    see("unknown scheduled job", manager.get_scheduled_job, "no-such-job")


def finish(manager: Any, wanted: Any) -> Any:
    job = manager.create_import_export_job(wanted)
    assert job.status == "enqueued", job.status
    deadline = time.monotonic() + DEADLINE
    while job.status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline, "the job does not end"
        job = manager.get_import_export_job(job.job_id)
    return job


def operation(manager: Any, *names: str) -> Any:
    """Find a generated operation, whose group and name differ between versions."""
    groups = vars(manager.protocol).values()
    return next(
        getattr(group, name)
        for group in groups
        for name in names
        if hasattr(group, name) and hasattr(group, "config")
    )


def job_manager(connection_string: str) -> Any:
    """The manager of jobs; before it existed, the generated operations."""
    if hasattr(sdk, "IoTHubJobManager"):
        return connect(sdk.IoTHubJobManager, connection_string)
    registry_manager = connect(sdk.IoTHubRegistryManager, connection_string)
    same = (
        "create_import_export_job",
        "get_import_export_job",
        "get_import_export_jobs",
        "cancel_import_export_job",
    )
    return SimpleNamespace(
        **{name: operation(registry_manager, name) for name in same},
        query_scheduled_jobs=operation(registry_manager, "query_scheduled_jobs", "query_jobs"),
        get_scheduled_job=operation(registry_manager, "get_scheduled_job", "get_job"),
    )


def connect(kind: Any, connection_string: str) -> Any:
    return getattr(kind, "from_connection_string", kind)(connection_string)


class Credential:
    """A credential with a fixed Entra ID token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(self.token, int(time.time()) + 3600)


def by_token(host: str, token: str) -> None:
    credential = Credential(token)
    manager = sdk.IoTHubRegistryManager.from_token_credential(host, credential)
    see("get by token", manager.get_device, "pump")
    SEEN["scopes"] = sorted(set(credential.scopes))
    without_amqp(manager)


def without_amqp(manager: Any) -> None:
    """The client's AMQP part connects only when it sends: it must not connect at the end."""
    manager.amqp_svc_client = SimpleNamespace(disconnect_sync=lambda: None)


def main() -> None:
    hub = json.load(sys.stdin)
    manager = connect(sdk.IoTHubRegistryManager, hub["connectionString"])
    for part in (registry, bulk, modules, twins):
        part(manager)
    # 2.0.0 cannot read the answer of any hub.
    if "max_item_count" in inspect.signature(manager.query_iot_hub).parameters:
        queries(manager)
    configurations(connect(sdk.IoTHubConfigurationManager, hub["connectionString"]))
    jobs(job_manager(hub["connectionString"]), hub["uris"])
    if hasattr(manager, "from_token_credential"):
        by_token(hub["host"], hub["token"])
    without_amqp(manager)
    json.dump(SEEN, sys.stdout)


main()
