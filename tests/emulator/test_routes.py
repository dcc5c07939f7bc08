"""What holds for all routes: trailing slashes, overridden methods, unknown routes, large bodies."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from iothub_emulator.api.request_checks import MAX_BODY_BYTES
from tests.emulator.support import HubClient, JobContainer, error_code

OVERRIDE = "X-HTTP-Method-Override"


@pytest.fixture(autouse=True)
def pump(hub: HubEmulator) -> None:
    hub.registry.put({"id": "pump"})
    hub.registry.put({"id": "pump", "moduleId": "sensor"})


@pytest.mark.parametrize(
    "path",
    [
        *("/devices", "/devices/pump", "/devices/pump/modules", "/devices/pump/modules/sensor"),
        *("/twins/pump", "/twins/pump/modules/sensor", "/statistics/devices", "/configurations"),
        *("/jobs", "/jobs/v2/query", "/jobs/v2/unknown"),
    ],
)
def test_a_slash_at_the_end_changes_nothing(client: HubClient, path: str) -> None:
    assert client.send("GET", f"{path}/").json() == client.send("GET", path).json()


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/Devices/pump", "/devices/pump"),
        ("/DEVICES/pump/Modules/sensor/", "/devices/pump/modules/sensor"),
        ("/Jobs/V2/Query", "/jobs/v2/query"),
    ],
)
def test_letter_case_of_a_route_changes_nothing(
    client: HubClient, path: str, canonical: str
) -> None:
    answer = client.send("GET", canonical)
    assert client.send("GET", path).json() == answer.json()
    assert answer.ok


def test_ids_are_case_sensitive(client: HubClient) -> None:
    assert client.send("GET", "/devices/PUMP").status_code == 404


@pytest.mark.parametrize("id_", ["query", "keys", "Query"])
def test_devices_that_are_named_as_operations(client: HubClient, id_: str) -> None:
    assert client.send("PUT", f"/devices/{id_}", {}).status_code == 200
    assert client.send("GET", f"/devices/{id_}").json()["deviceId"] == id_
    body = {"query": "SELECT * FROM devices WHERE deviceId = 'pump'"}
    assert len(client.send("POST", "/devices/query", body).json()) == 1


def test_a_bulk_request_with_a_slash_at_the_end(hub: HubEmulator, client: HubClient) -> None:
    """The C# client sends all of them so."""
    assert client.send("POST", "/devices/", [{"id": "valve"}]).json()["isSuccessful"]
    assert hub.registry.get("valve") is not None


@pytest.mark.parametrize("method", ["PATCH", "patch", "PUT"])
def test_an_overridden_method_of_a_twin(client: HubClient, method: str) -> None:
    """The Java client sends PATCH so."""
    response = client.send("POST", "/twins/pump", {"tags": {"a": 1}}, headers={OVERRIDE: method})

    assert response.json()["tags"] == {"a": 1}


@pytest.mark.parametrize("path", ["/devices/valve", "/devices/pump/modules/valve"])
def test_overridden_methods_of_identities(client: HubClient, path: str) -> None:
    headers = {OVERRIDE: "PUT"}
    assert client.send("POST", path, {}, headers=headers).status_code == 200
    headers = {OVERRIDE: "DELETE", "If-Match": "*"}
    assert client.send("POST", path, headers=headers).status_code == 204
    assert client.send("GET", path).status_code == 404


@pytest.mark.parametrize("headers", [{}, {OVERRIDE: "POST"}, {OVERRIDE: "GET"}], ids=str)
def test_post_stays_what_it_is(client: HubClient, headers: dict[str, str]) -> None:
    refused = client.send("POST", "/twins/pump", {"tags": {"a": 1}}, headers=headers)
    assert error_code(refused) == (405, "GenericMethodNotAllowed")
    bulk = client.send("POST", "/devices", [{"id": "valve"}], headers=headers)
    assert bulk.json()["isSuccessful"]


def test_an_override_is_authorized_as_its_method(hub: HubEmulator) -> None:
    reader = HubClient(hub.connection_string("registryRead"))
    response = reader.send("POST", "/devices/valve", {}, headers={OVERRIDE: "PUT"})
    assert error_code(response) == (401, "IotHubUnauthorized")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", (404, "GenericNotFound")),
        ("GET", "/devices/pump/modules/sensor/more", (404, "GenericNotFound")),
        ("DELETE", "/devices", (405, "GenericMethodNotAllowed")),
        ("PATCH", "/devices/pump", (405, "GenericMethodNotAllowed")),
        ("POST", "/devices/pump", (405, "GenericMethodNotAllowed")),
    ],
)
def test_unknown_routes_have_the_form_of_the_hub(
    client: HubClient, method: str, path: str, code: tuple[int, str]
) -> None:
    response = client.send(method, path, {})

    assert error_code(response) == code
    uuid.UUID(response.headers["x-ms-request-id"])
    assert response.json().keys() == {"Message", "ExceptionMessage"}
    assert response.json()["Message"].startswith(f"ErrorCode:{code[1]};")
    assert ("Allow" in response.headers) == (code[0] == 405)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/twins/pump", "GET, PATCH, PUT"),
        ("/devices/pump", "DELETE, GET, PUT"),
        ("/devices", "GET, POST"),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_allowed_methods(client: HubClient, method: str, path: str, allowed: str) -> None:
    """POST is allowed only where it does something without an override."""
    response = client.send(method, path, {})
    if response.status_code == 405:
        assert response.headers["Allow"] == allowed
    else:
        assert (method, path) == ("POST", "/devices")


def test_a_body_over_the_limit_has_the_form_of_the_hub(client: HubClient) -> None:
    response = client.send("PUT", "/devices/pump", " " * (MAX_BODY_BYTES + 1))

    assert error_code(response) == (413, "GenericRequestEntityTooLarge")
    uuid.UUID(response.headers["x-ms-request-id"])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_encoded_as_it_says(client: HubClient, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    response = client.send("PUT", "/devices/valve", "garbage", headers=headers)

    assert error_code(response) == (400, "InvalidContentEncodingOrType")


def test_the_name_of_the_parameter_of_the_version_matches_in_any_case(client: HubClient) -> None:
    assert client.send("GET", "/devices/pump", query="?API-Version=2021-04-12").ok


def test_line_ends_in_a_path_do_not_forge_a_log(
    client: HubClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        client.send("GET", "/devices/a%0Aforged%00")

    messages = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert messages == ["GET /devices/a%0Aforged%00 -> 404"]


def test_a_failure_of_the_emulator_has_the_form_of_the_hub(
    hub: HubEmulator, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.registry, "find", lambda key: 1 / 0)
    response = client.send("GET", "/devices/pump")

    assert error_code(response) == (500, "ServerError")
    uuid.UUID(response.headers["x-ms-request-id"])


def test_errors_of_the_control_api_are_plain_text(hub: HubEmulator) -> None:
    response = requests.post(f"{hub.url}/emulator/clock", data="[]", timeout=5)
    assert (response.status_code, response.text) == (400, "the body must be a JSON object")


@pytest.mark.parametrize(
    "filters",
    ["", "&jobType=scheduleDeviceMethod", "&jobType=ScheduleUpdateTwin&jobStatus=Completed"],
)
def test_there_are_no_scheduled_jobs(
    client: HubClient, job_container: JobContainer, filters: str
) -> None:
    job_container.write({"id": "valve", "status": "enabled"})
    job = client.create_job(job_container.request()).json()
    client.wait_for_job(job["jobId"], "completed")
    response = client.send("GET", "/jobs/v2/query", query=f"?api-version=2021-04-12{filters}")

    assert (response.status_code, response.json()) == (200, [])
    unknown = {"jobId": job["jobId"], "type": "unknown", "status": "unknown"}
    assert client.send("GET", f"/jobs/v2/{job['jobId']}").json() == unknown


@pytest.mark.parametrize("filters", ["&jobType=lunch", "&jobStatus=lunch"])
def test_filters_of_scheduled_jobs_are_checked(client: HubClient, filters: str) -> None:
    response = client.send("GET", "/jobs/v2/query", query=f"?api-version=2021-04-12{filters}")
    assert error_code(response) == (400, "ArgumentInvalid")


def test_scheduled_jobs_are_refused(client: HubClient) -> None:
    body: dict[str, Any] = {"jobId": "reboot", "type": "scheduleDeviceMethod"}
    refused = client.send("PUT", "/jobs/v2/reboot", body)
    assert error_code(refused) == (403, "OperationNotAvailableInCurrentTier")
    cancelled = client.send("POST", "/jobs/v2/reboot/cancel")
    assert error_code(cancelled) == (404, "JobNotFound")
