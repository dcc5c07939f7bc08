"""All values of the switches for undocumented behaviour."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.jobs.importing import DeviceImport
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Registry
from tests.emulator.support import (
    README,
    HubClient,
    JobContainer,
    Line,
    StartHub,
    codes,
    error_code,
    stored,
    wait_until,
)

PUMP = {"id": "pump", "status": "enabled"}


def run(registry: Registry, choices: Choices, *lines: Line | str) -> list[dict[str, Any]]:
    """The log of an import."""
    work = DeviceImport(registry, choices)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return [json.loads(error) for error in [*work.apply(texts), *work.finish()]]


def run_job(hub: HubEmulator, job_container: JobContainer, **members: Any) -> dict[str, Any]:
    created = HubClient(hub.connection_string()).create_job(job_container.request(**members))
    assert created.status_code == 200, created.text
    hub.wait_idle()
    return hub.jobs[-1]


@pytest.mark.parametrize(("given", "reason"), [("It rained.", "It rained."), ("", None)])
def test_failure_reason(
    start_hub: StartHub, job_container: JobContainer, given: str, reason: str | None
) -> None:
    hub = start_hub(choices=Choices(failure_reason=given), job_seconds=0.4)
    job_container.write(PUMP)
    HubClient(hub.connection_string()).create_job(job_container.request())
    job_container.client.delete_container()
    hub.wait_idle()

    assert (hub.jobs[0]["status"], hub.jobs[0]["failureReason"]) == ("failed", reason)


@pytest.mark.parametrize(("choice", "is_written"), [("none", False), ("write", True)])
def test_log_of_broken_jobs(
    start_hub: StartHub, job_container: JobContainer, choice: Any, is_written: bool
) -> None:
    hub = start_hub(choices=Choices(log_of_broken_jobs=choice))
    job_container.write(PUMP)
    hub.faults.add("failJob", reason="no luck")
    run_job(hub, job_container)
    if is_written:
        wait_until(lambda: "importErrors.log" in job_container.names())
    assert ("importErrors.log" in job_container.names()) == is_written


@pytest.mark.parametrize(("choice", "logged"), [("skip", []), ("refuse", [400012])])
def test_byte_order_mark(
    start_hub: StartHub, job_container: JobContainer, choice: Any, logged: list[int]
) -> None:
    hub = start_hub(choices=Choices(byte_order_mark=choice))
    job_container.write_bytes(b"\xef\xbb\xbf" + json.dumps(PUMP).encode())
    run_job(hub, job_container)

    assert codes(job_container.log()) == logged


@pytest.mark.parametrize(("choice", "logged"), [("skip", []), ("refuse", [400012] * 3)])
def test_blank_lines(
    start_hub: StartHub, job_container: JobContainer, choice: Any, logged: list[int]
) -> None:
    """A final line feed does not start another line."""
    hub = start_hub(choices=Choices(blank_lines=choice))
    job_container.write_bytes(b"\n  \r\nnull\n" + json.dumps(PUMP).encode() + b"\n")
    run_job(hub, job_container)

    assert codes(job_container.log()) == logged


@pytest.mark.parametrize(("choice", "logged"), [("lenient", []), ("strict", [400012])])
def test_json_syntax(registry: Registry, choice: Any, logged: list[int]) -> None:
    text = "{'id': 'pump', status: 'enabled', /* so far */}"

    assert codes(run(registry, Choices(json_syntax=choice), text)) == logged


@pytest.mark.parametrize(("choice", "logged"), [("ignore", []), ("exact", [400012, 400012])])
def test_letter_case(registry: Registry, choice: Any, logged: list[int]) -> None:
    lines = {"ID": "pump", "status": "enabled"}, {**PUMP, "importMode": "CreateOrUpdate"}

    assert codes(run(registry, Choices(letter_case=choice), *lines)) == logged


@pytest.mark.parametrize(("choice", "logged"), [("replace", 2), ("append", 4)])
def test_error_log(
    start_hub: StartHub, job_container: JobContainer, choice: Any, logged: int
) -> None:
    hub = start_hub(choices=Choices(error_log=choice, error_log_repeats=2))
    job_container.write({**PUMP, "importMode": "delete"})
    run_job(hub, job_container)
    run_job(hub, job_container)

    assert codes(job_container.log()) == [404001] * logged


def test_etag_mismatch(registry: Registry) -> None:
    stale = {**PUMP, "importMode": "updateIfMatchETag", "eTag": "old"}

    assert codes(run(registry, DEFAULT_CHOICES, PUMP, stale)) == [412001]
    assert codes(run(registry, Choices(etag_mismatch="EtagDoesNotMatch"), stale)) == [400023]


@pytest.mark.parametrize("suffix", ["", "/", "/jobs", "/JOBS/", "/devices", "/job"])
def test_token_scope(start_hub: StartHub, suffix: str) -> None:
    client = HubClient(start_hub(choices=Choices(token_scope="path")).connection_string())
    headers = {"Authorization": client.token(client.host + suffix)}

    is_covered = suffix not in ("/devices", "/job")
    assert client.send("GET", "/jobs", headers=headers).ok == is_covered


@pytest.mark.parametrize(("choice", "is_increasing"), [("end", False), ("steps", True)])
def test_progress(
    start_hub: StartHub, job_container: JobContainer, choice: Any, is_increasing: bool
) -> None:
    hub = start_hub(choices=Choices(progress=choice), job_rate=40)
    job_container.write(*({**PUMP, "id": f"pump-{number}"} for number in range(20)))
    HubClient(hub.connection_string()).create_job(job_container.request())
    seen = set()

    def is_done() -> bool:
        job = hub.jobs[0]
        seen.add(job["progress"])
        return bool(job["status"] == "completed")

    wait_until(is_done)
    assert 100 in seen
    assert bool(seen - {0, 100}) == is_increasing


@pytest.mark.parametrize(("choice", "status"), [("write", 400), ("create", 200)])
def test_output_rights(
    start_hub: StartHub, job_container: JobContainer, choice: Any, status: int
) -> None:
    hub = start_hub(choices=Choices(output_rights=choice))
    hub.registry.put({"id": "pump"})
    body = {"type": "export", "outputBlobContainerUri": job_container.uri("cd")}
    response = HubClient(hub.connection_string()).create_job(body)

    assert response.status_code == status
    hub.wait_idle()
    if choice == "write":
        assert "Unauthorized to write to output blob container." in response.json()["Message"]
    else:
        assert [line["id"] for line in job_container.lines("devices.txt")] == ["pump"]


@pytest.mark.parametrize(("choice", "logged"), [("apply", []), ("refuse", [400011])])
def test_repeated_device(registry: Registry, choice: Any, logged: list[int]) -> None:
    again = {**PUMP, "status": "disabled"}

    assert codes(run(registry, Choices(repeated_device=choice), PUMP, again)) == logged
    status = stored(registry, "pump")["status"]
    assert status == ("enabled" if logged else "disabled")


@pytest.mark.parametrize(("choice", "logged"), [("refuse", [404001]), ("wait", [])])
def test_module_before_device(registry: Registry, choice: Any, logged: list[int]) -> None:
    module = {**PUMP, "moduleId": "sensor"}

    assert codes(run(registry, Choices(module_before_device=choice), module, PUMP)) == logged


def test_modules_without_a_device_are_logged(registry: Registry) -> None:
    choices = Choices(module_before_device="wait")

    assert codes(run(registry, choices, {**PUMP, "moduleId": "sensor"})) == [404001]


@pytest.mark.parametrize(("choice", "logged"), [("drop", []), ("refuse", [400004])])
def test_null_in_new_twin(choice: Any, logged: list[int]) -> None:
    choices = Choices(null_in_new_twin=choice)
    new = {**PUMP, "tags": {"a": {"b": None}}}

    assert codes(run(Registry(choices=choices), choices, new)) == logged
    patch = {**new, "importMode": "updateTwin"}
    assert run(Registry(choices=choices), choices, PUMP, patch) == []


@pytest.mark.parametrize(("choice", "kept"), [("ignore", {}), ("store", {"a": 1})])
def test_reported(choice: Any, kept: dict[str, int]) -> None:
    choices = Choices(reported=choice)
    registry = Registry(choices=choices)

    assert run(registry, choices, {**PUMP, "properties": {"reported": {"a": 1}}}) == []
    assert stored(registry, "pump")["properties"]["reported"] == kept


@pytest.mark.parametrize(("choice", "kept"), [("keep", {"a": 1}), ("clear", {})])
def test_absent_twin_parts(choice: Any, kept: dict[str, int]) -> None:
    choices = Choices(absent_twin_parts=choice)
    registry = Registry(choices=choices)
    full = {**PUMP, "tags": {"a": 1}, "properties": {"desired": {"a": 1}}}

    assert run(registry, choices, full, {**PUMP, "importMode": "update"}) == []
    twin = stored(registry, "pump")
    assert twin["tags"] == twin["properties"]["desired"] == kept


@pytest.mark.parametrize(("choice", "status"), [("line", "enabled"), ("twin", "disabled")])
def test_other_twin_etag(choice: Any, status: str) -> None:
    choices = Choices(other_twin_etag=choice)
    registry = Registry(choices=choices)
    run(registry, choices, {**PUMP, "tags": {"a": 1}})
    changed = {**PUMP, "status": "disabled", "tags": {"a": 2}, "twinETag": "other"}

    for mode in ("createOrUpdate", "update", "updateIfMatchETag"):
        log = run(registry, choices, {**changed, "importMode": mode})
        assert codes(log) == [412001]
        assert (stored(registry, "pump")["status"], stored(registry, "pump")["tags"]) == (
            status,
            {"a": 1},
        )
    log = run(registry, choices, {**PUMP, "importMode": "deleteIfMatchETag", "eTag": "other"})
    assert codes(log) == [412001]
    assert stored(registry, "pump")


URIS = {"inputBlobContainerUri", "outputBlobContainerUri"}
OPTIONS = {
    *("inputBlobName", "outputBlobName", "storageAuthenticationType"),
    *("includeConfigurations", "configurationsBlobName"),
}


@pytest.mark.parametrize(
    ("choice", "created", "later"),
    [
        ("output", URIS | {"inputBlobName"}, {"outputBlobContainerUri", "inputBlobName"}),
        ("full", URIS | OPTIONS, URIS | OPTIONS),
        ("none", set(), set()),
    ],
)
def test_uri_echo(
    start_hub: StartHub,
    job_container: JobContainer,
    choice: Any,
    created: set[str],
    later: set[str],
) -> None:
    hub = start_hub(choices=Choices(uri_echo=choice))
    client = HubClient(hub.connection_string())
    job_container.write(PUMP)
    request = job_container.request(inputBlobName="devices.txt")

    def echoed(job: dict[str, Any]) -> set[str]:
        assert all(job[name] == request[name] for name in URIS & job.keys() if job[name])
        return {name for name in URIS | OPTIONS if job.get(name, "") != ""}

    job = client.create_job(request).json()
    assert echoed(job) == created
    assert echoed(client.job(job["jobId"])) == later
    assert echoed(client.wait_for_job(job["jobId"], "completed")) == later
    [listed] = client.send("GET", "/jobs").json()
    assert echoed(listed) == later
    assert ("inputBlobContainerUri" in listed) == (choice != "output")
    assert echoed(hub.jobs[0]) == URIS | OPTIONS


def test_max_import_bytes(start_hub: StartHub, job_container: JobContainer) -> None:
    job_container.write(PUMP)
    size = len(json.dumps(PUMP))

    run_job(start_hub(choices=Choices(max_import_bytes=size)), job_container)
    hub = start_hub(choices=Choices(max_import_bytes=size - 1))
    rejected = HubClient(hub.connection_string()).create_job(job_container.request())
    assert error_code(rejected) == (400, "BlobContainerValidationError")


@pytest.mark.parametrize(("choice", "log"), [("ignore", "importErrors.log"), ("log", "mine.log")])
def test_import_output_name(
    start_hub: StartHub, job_container: JobContainer, choice: Any, log: str
) -> None:
    job_container.write(PUMP)
    run_job(
        start_hub(choices=Choices(import_output_name=choice)),
        job_container,
        outputBlobName="mine.log",
    )

    assert job_container.names() == {"devices.txt", log}


def test_export_lag(start_hub: StartHub, job_container: JobContainer) -> None:
    hub = start_hub(choices=Choices(export_lag=5))

    def exported() -> list[tuple[str, str | None, str]]:
        run_job(hub, job_container, type="export")
        lines = job_container.lines("devices.txt")
        return [(line["id"], line.get("moduleId"), line["status"]) for line in lines]

    for ids in ({"id": "a"}, {"id": "a", "moduleId": "m"}, {"id": "b"}):
        hub.registry.put(ids)
    assert exported() == []
    hub.clock.advance(5)
    before = [("a", None, "enabled"), ("a", "m", "enabled"), ("b", None, "enabled")]
    assert exported() == before

    hub.registry.delete(Key("a"))
    hub.registry.put({"id": "b", "status": "disabled"})
    hub.registry.put({"id": "aa"})
    assert exported() == before
    hub.clock.advance(5)
    assert exported() == [("aa", None, "enabled"), ("b", None, "disabled")]


def test_query_lag(start_hub: StartHub) -> None:
    hub = start_hub(choices=Choices(query_lag=5))
    client = HubClient(hub.connection_string())

    def found(source: str = "devices") -> list[Any]:
        text = f"SELECT tags.site FROM {source}"
        headers = {"x-ms-max-item-count": "1"}
        rows = []
        while True:
            page = client.send("POST", "/devices/query", {"query": text}, headers=headers)
            rows += [row["site"] for row in page.json()]
            if "x-ms-continuation" not in page.headers:
                return rows
            headers["x-ms-continuation"] = page.headers["x-ms-continuation"]

    for id_, site in (("a", "north"), ("b", "east"), ("c", "south")):
        hub.registry.put({"id": id_, "tags": {"site": site}})
    hub.registry.put({"id": "a", "moduleId": "m", "tags": {"site": "module"}})
    assert (found(), found("devices.modules")) == ([], [])
    assert client.send("GET", "/twins/a").json()["tags"] == {"site": "north"}
    hub.clock.advance(5)
    assert (found(), found("devices.modules")) == (["north", "east", "south"], ["module"])

    hub.registry.put({"id": "b", "tags": {"site": "west"}})
    hub.clock.advance(3)
    client.send("PATCH", "/twins/b", {"tags": {"site": "far west"}})
    client.send("DELETE", "/devices/a", headers={"If-Match": "*"})
    assert (found(), found("devices.modules")) == (["north", "east", "south"], ["module"])
    hub.clock.advance(2)
    assert found() == ["north", "far west", "south"]
    hub.clock.advance(3)
    assert (found(), found("devices.modules")) == (["far west", "south"], [])


@pytest.mark.parametrize(
    ("choice", "code"),
    [("slot", (403, "JobQuotaExceeded")), ("storage", (400, "BlobContainerValidationError"))],
)
def test_first_check(
    start_hub: StartHub, job_container: JobContainer, choice: Any, code: tuple[int, str]
) -> None:
    hub = start_hub(choices=Choices(first_check=choice))
    hub.occupy_slot()

    client = HubClient(hub.connection_string())
    assert error_code(client.create_job(job_container.request())) == code


def test_cancel_answers(start_hub: StartHub, job_container: JobContainer) -> None:
    choices = Choices(cancel_answer="200", cancel_of_ended_job="404")
    hub = start_hub(choices=choices)
    client = HubClient(hub.connection_string())
    hub.faults.add("hangJob")
    job_container.write(PUMP)
    path = f"/jobs/{client.create_job(job_container.request()).json()['jobId']}"

    assert client.send("DELETE", path).json()["status"] == "cancelled"
    assert error_code(client.send("DELETE", path)) == (404, "JobNotFound")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"weather": "fine"}, "unknown switch weather; known switches: failure_reason, "),
        ({"uri_echo": "maybe"}, "uri_echo must be one of output, full, none, not 'maybe'"),
        (
            {"error_log_repeats": "-1"},
            "must be an integer of at least 0, not '-1'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unknown_settings(settings: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Choices.read(settings)


def test_settings_are_read() -> None:
    read = Choices.read({"uri_echo": "none", "error_log_repeats": "20", "failure_reason": "Rain."})

    assert read == Choices(uri_echo="none", error_log_repeats=20, failure_reason="Rain.")


def test_readme_lists_every_switch_with_its_default() -> None:
    readme = README.read_text("utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| `?([^|`]*)`? \|", readme, re.MULTILINE))

    for field in fields(Choices):
        assert listed.get(field.name) == str(field.default), field.name
