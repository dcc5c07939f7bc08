"""Devices, twins, modules, configurations and jobs in each api-version."""

from __future__ import annotations

import re
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.api.requests import API_VERSIONS
from iothub_emulator.choices import Choices
from tests.emulator.support import (
    README,
    HubClient,
    JobContainer,
    StartHub,
    codes,
    error_code,
    stored,
)

REFUSED = (400, "InvalidProtocolVersion")
PUMP = {"id": "pump", "status": "enabled"}


def version(text: str) -> str:
    """The query of a request."""
    return f"?api-version={text}"


@pytest.mark.parametrize("known", sorted(API_VERSIONS))
def test_versions_that_clients_send(client: HubClient, known: str) -> None:
    assert client.send("GET", "/devices", query=version(known)).json() == []


def test_the_readme_names_a_client_for_each_version() -> None:
    section = README.read_text("utf-8").split("## Clients and api-versions\n")[1].split("\n## ")[0]
    named = set(re.findall(r"\d{4}-\d{2}-\d{2}(?:-preview)?", section))

    assert named == API_VERSIONS


@pytest.mark.parametrize(
    "query",
    ["", version(""), version("2021-04-13"), version("2021-04-12-preview"), version("latest")],
    ids=["none", "empty", "made up", "no preview", "word"],
)
def test_other_versions_are_rejected(client: HubClient, query: str) -> None:
    assert error_code(client.send("GET", "/devices", query=query)) == REFUSED


def test_the_token_is_checked_before_the_version(client: HubClient) -> None:
    response = client.send("GET", "/devices", query="", headers={"Authorization": ""})

    assert error_code(response) == (401, "IotHubUnauthorized")


@pytest.mark.parametrize(
    ("path", "methods", "last_without", "first"),
    [
        ("/twins/pump", ["GET", "PATCH", "PUT"], "2016-04-30", "2016-09-30-preview"),
        ("/devices/query", ["POST"], "2016-04-30", "2016-09-30-preview"),
        ("/twins/pump/modules/sensor", ["GET", "PATCH", "PUT"], "2018-01-16", "2017-11-08-preview"),
        ("/devices/pump/modules", ["GET"], "2018-01-16", "2017-11-08-preview"),
        (
            "/devices/pump/modules/sensor",
            ["GET", "PUT", "DELETE"],
            "2017-10-15",
            "2017-11-08-preview",
        ),
        ("/configurations", ["GET"], "2018-01-16", "2017-11-08-preview"),
        ("/configurations/rates", ["GET", "PUT", "DELETE"], "2018-01-16", "2017-11-08-preview"),
    ],
    ids=["twins", "queries", "module twins", "modules", "module", "configurations", "one"],
)
def test_operations_of_later_versions(
    hub: HubEmulator,
    client: HubClient,
    path: str,
    methods: list[str],
    last_without: str,
    first: str,
) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})
    body = {"query": "SELECT * FROM devices", "content": {"deviceContent": {}}}
    client.send("PUT", "/configurations/rates", body)
    headers = {"If-Match": "*"}

    for method in methods:
        rejected = client.send(method, path, body, headers=headers, query=version(last_without))
        assert error_code(rejected) == REFUSED
        assert client.send(method, path, body, headers=headers, query=version(first)).ok


def test_early_versions_show_fewer_device_properties(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    first = client.send("GET", "/devices/pump", query=version("2016-02-03")).json()
    later = client.send("GET", "/devices/pump", query=version("2018-06-30")).json()

    authentication = {**first["authentication"], "type": "sas"}
    assert later == {
        **first,
        "authentication": authentication,
        "capabilities": {"iotEdge": False},
    }
    assert client.send("GET", "/devices", query=version("2016-02-03")).json() == [first]


ALWAYS = {
    *("jobId", "type", "status", "progress", "startTimeUtc"),
    *("inputBlobContainerUri", "outputBlobContainerUri", "excludeKeysInExport"),
}
BLOB_NAMES = {"inputBlobName", "outputBlobName"}
CONFIGURATIONS = {"includeConfigurations", "configurationsBlobName"}


def test_jobs_show_the_properties_of_the_version(
    start_hub: StartHub, job_container: JobContainer
) -> None:
    client = HubClient(start_hub(choices=Choices(uri_echo="full")).connection_string())
    job_container.write(PUMP)
    job_id = client.create_job(job_container.request()).json()["jobId"]
    client.wait_for_job(job_id, "completed")

    def shown(text: str) -> set[str]:
        job: dict[str, Any] = client.send("GET", f"/jobs/{job_id}", query=version(text)).json()
        assert client.send("GET", "/jobs", query=version(text)).json() == [job]
        return job.keys() - {"endTimeUtc"}

    assert shown("2016-02-03") == ALWAYS
    assert shown("2018-06-30") == shown("2019-10-01") == ALWAYS | BLOB_NAMES
    storage = ALWAYS | BLOB_NAMES | {"storageAuthenticationType", "useSecondaryStorageAsSource"}
    assert shown("2020-03-13") == shown("2020-09-30") == storage
    assert shown("2021-04-12") == shown("2024-03-31") == storage | CONFIGURATIONS


@pytest.mark.parametrize(
    ("members", "last_without", "first", "code"),
    [
        (
            {"inputBlobName": "nothing.txt"},
            "2018-01-16",
            "2018-06-30",
            (400, "BlobContainerValidationError"),
        ),
        (
            {"storageAuthenticationType": "identityBased"},
            "2019-10-01",
            "2020-03-13",
            (400, "ManagedIdentityNotEnabled"),
        ),
    ],
    ids=["blob name", "identity"],
)
def test_unknown_members_of_a_version_are_ignored(
    client: HubClient,
    job_container: JobContainer,
    members: dict[str, str],
    last_without: str,
    first: str,
    code: tuple[int, str],
) -> None:
    job_container.write(PUMP)
    body = job_container.request(**members)

    assert error_code(client.create_job(body, query=version(first))) == code
    assert client.create_job(body, query=version(last_without)).status_code == 200


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("2020-09-30", {"devices.txt"}),
        ("2021-04-12", {"devices.txt", "configurations.txt"}),
    ],
)
def test_versions_that_export_configurations(
    hub: HubEmulator, client: HubClient, job_container: JobContainer, text: str, names: set[str]
) -> None:
    body = {
        "type": "export",
        "outputBlobContainerUri": job_container.uri(),
        "includeConfigurations": True,
    }
    job = client.create_job(body, query=version(text)).json()
    client.wait_for_job(job["jobId"], "completed")

    assert job_container.names() == names


# --- The call of 2016: its page has a GET with a body, and a sample that is no JSON.

HISTORIC = version("2016-02-03")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "spelling",
    ["outputBlobContainerUri", "exportBlobContainerUri", "outputBlobContainerUri "],
    ids=["output", "export", "trailing blank"],
)
def test_import_of_2016(
    hub: HubEmulator, client: HubClient, job_container: JobContainer, method: str, spelling: str
) -> None:
    job_container.write(PUMP, {**PUMP, "importMode": "create"})
    input_uri, output_uri = job_container.uri("r"), job_container.uri()
    sample = f'{{"inputBlobContainerUri": "{input_uri}", "{spelling}": "{output_uri}",}}'
    created = client.send(method, "/importdevices", sample, query=HISTORIC)

    assert created.status_code == 200
    job = created.json()
    assert job.keys() == ALWAYS
    assert (job["type"], job["status"], job["excludeKeysInExport"]) == ("import", "enqueued", False)
    client.wait_for_job(job["jobId"], "completed")
    assert codes(job_container.log()) == [409001]
    assert stored(hub.registry, "pump")["status"] == "enabled"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("text", ["2016-11-14", "2018-06-30", "2021-04-12", "2024-03-31"])
def test_later_versions_have_no_import_of_2016(
    client: HubClient, job_container: JobContainer, method: str, text: str
) -> None:
    response = client.send(method, "/importdevices", job_container.request(), query=version(text))
    assert error_code(response) == REFUSED


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"inputBlobContainerUri": "https://x/in"}, "ArgumentNull"),
        ({"exportBlobContainerUri": "https://x/out"}, "ArgumentNull"),
        ("{", "GenericBadRequest"),
    ],
    ids=["no output", "no input", "syntax"],
)
def test_the_import_of_2016_requires_both_containers(
    client: HubClient, body: Any, code: str
) -> None:
    response = client.send("POST", "/importdevices", body, query=HISTORIC)

    assert error_code(response) == (400, code)
    assert f"Error: 400 ErrorCode: {code}\nMessage: " in response.json()["Message"]


def test_the_import_of_2016_requires_write_permission(hub: HubEmulator) -> None:
    client = HubClient(hub.connection_string("registryRead"))
    response = client.send("GET", "/importdevices", {}, query=HISTORIC)

    assert error_code(response) == (401, "IotHubUnauthorized")


@pytest.mark.parametrize("spelling", ["exportBlobContainerUri", "outputBlobContainerUri "])
def test_the_current_import_has_one_spelling(
    client: HubClient, job_container: JobContainer, spelling: str
) -> None:
    body = {
        "type": "import",
        "inputBlobContainerUri": job_container.uri(),
        spelling: job_container.uri(),
    }

    assert error_code(client.create_job(body)) == (400, "ArgumentNull")
