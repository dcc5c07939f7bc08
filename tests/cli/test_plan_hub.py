"""`device-importer plan` at a hub, by the operator's own rights."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cli import hub_access, lookups, plan_hub
from cli.errors import CommandError
from cli.lookups import Lookups
from iothub_emulator import HubEmulator
from iothub_emulator.faults import FaultKind, Operation
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnauthorizedError, error_from_response
from shared.storage.client import IncompleteReadError
from tests.app import App, device
from tests.cli.conftest import Shell, configure_two_hubs
from tests.cli.fleet import change, jobs, line, owner, write


def test_few_devices_are_looked_up(app: App, shell: Shell, fleet: list[str]) -> None:
    owner(app)
    app.hub.registry.put({"id": "d1", "moduleId": "m", "status": "enabled"})
    file = write(
        line("d0"),
        change("d1", "delete"),
        line("d2", tags={"site": "west"}),
        line("new"),
        {**line("d3"), "moduleId": "m"},
        {**line("gone"), "moduleId": "m", "importMode": "update"},
    )
    done = shell("plan", file)
    assert done.status == 1
    assert done.out.splitlines()[-1] == (
        "Plan: 2 to create, 1 to update (0 get new keys), 1 unchanged, 1 to delete, 0 left out, "
        "1 would fail"
    )
    assert "  - line 2 (d1): with 1 module" in done.out.splitlines()
    assert f"the registry of {app.hub.address}, looked up " in done.out
    [value] = shell.json("plan", file)
    assert (value["source"], value["hubDevices"], value["keysCompared"]) == ("lookups", None, True)
    assert jobs(app) == []


def test_many_devices_are_exported(app: App, shell: Shell, fleet: list[str]) -> None:
    file = write(*map(line, fleet), line("new"))
    [value] = shell.json("plan", file)
    assert (value["source"], value["hubDevices"], value["keysCompared"]) == ("export", 40, True)
    assert (value["counts"]["unchanged"], value["counts"]["create"]) == (40, 1)
    assert jobs(app) == [("export", "completed")]
    # Without keys in the file, they are not asked for.
    file = write(*({**change(each, "updateTwin"), "tags": {"a": 1}} for each in fleet))
    [value] = shell.json("plan", file)
    assert value["keysCompared"] is False


@pytest.mark.parametrize("policy", ["registryReadWrite", "iothubowner"])
def test_lookups_that_are_not_allowed(
    app: App, shell: Shell, fleet: list[str], policy: str
) -> None:
    """Twins need ServiceConnect, and modules of a disabled device are hidden under SAS."""
    app.configure(IOTHUB=app.hub.connection_string(policy))
    app.hub.registry.put({**line("d1"), "status": "disabled"})
    done = shell("plan", write(line("d0"), change("d1", "delete")))
    assert (done.status, done.out.splitlines()[-1]) == (
        10,
        "Plan: 0 to create, 0 to update (0 get new keys), 1 unchanged, 1 to delete, 0 left out, "
        "0 would fail",
    )
    assert jobs(app) == [("export", "completed")]


def test_lookups_or_export() -> None:
    """25 requests take no time; one more takes as long as the export of a small hub."""
    for count, seconds in ((25, 0), (26, 2.4), (125, 240)):
        assert Lookups(json.dumps(device(str(n))).encode() for n in range(count)).seconds == seconds
    lines = [device("a", importMode="delete"), {**device("b"), "moduleId": "m"}]
    assert Lookups(json.dumps(each).encode() for each in lines).requests == 5


def test_lookups_are_paced(
    app: App, shell: Shell, fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(app)
    monkeypatch.setattr(lookups, "NO_WAIT", 2)
    monkeypatch.setattr(plan_hub, "NO_WAIT", 2)
    monkeypatch.setattr(lookups, "_PER_MINUTE", 600)
    app.hub.faults.add(FaultKind.THROTTLE, operation=Operation.REGISTRY, times=2)
    started = time.monotonic()
    done = shell("plan", write(*map(line, fleet[:5])))
    # The last of five requests is the third that waits.
    assert time.monotonic() - started >= 0.3
    assert (done.status, "throttles" in done.err) == (0, True)
    assert f"Looking up 5 devices at {app.hub.address} (about 0.3 s)\n" in done.err
    assert jobs(app) == []


@pytest.mark.parametrize(
    ("devices", "source"), [(3600, "export"), (3700, "lookups"), (None, "export")]
)
def test_the_quicker_way_is_taken(
    app: App,
    shell: Shell,
    fleet: list[str],
    monkeypatch: pytest.MonkeyPatch,
    devices: int | None,
    source: str,
) -> None:
    """26 lookups that wait take 62.4 seconds, and so does the export of 3,668 devices."""
    owner(app)
    monkeypatch.setattr(HubClient, "count_devices", lambda _: devices)
    monkeypatch.setattr(lookups._Pace, "wait", lambda _: None)
    [value] = shell.json("plan", write(*map(line, fleet), *(line(f"n{n}") for n in range(11))))
    assert (value["source"], value["counts"]["create"]) == (source, 11)


def test_the_settings_of_the_app_are_used(app: App, shell: Shell, fleet: list[str]) -> None:
    owner(app)
    app.configure(VALIDATION_POLICY="partial", MAX_DELETES="0")
    file = write(line("new"), {"id": "b"})
    assert "1 left out" in shell("plan", file).out
    assert "would be rejected" in shell("plan", file, "--policy", "reject").out
    file = write(change("d0", "delete"))
    assert "would be rejected" in shell("plan", file).out
    assert shell("plan", file, "--max-deletes", "5").status == 10


def test_a_hub_that_denies_access(app: App, shell: Shell, fleet: list[str]) -> None:
    app.configure(IOTHUB=app.hub.connection_string("registryRead"))
    for arguments in (("export", "-o", "export.txt"), ("plan", write(*map(line, fleet)))):
        done = shell(*arguments)
        assert (done.status, done.out) == (4, "")
        assert "IotHubUnauthorized" in done.err
        assert "registryReadWrite or iothubowner" in done.err
        assert "IoT Hub Data Contributor" in done.err
    assert not Path("export.txt").exists()


def test_a_hub_that_is_out_of_reach(app: App, shell: Shell, fleet: list[str]) -> None:
    down = app.hub.connection_string().replace(app.hub.address, "127.0.0.1:1")
    app.configure(IOTHUB=down)
    for arguments in (("export", "-o", "export.txt"), ("plan", write(line("d0")))):
        done = shell(*arguments)
        assert (done.status, done.out) == (4, "")
        assert "The hub 127.0.0.1:1 cannot be reached (connection refused)" in done.err


@pytest.mark.usefixtures("short_waits")
def test_several_hubs(app: App, shell: Shell, other_hub: HubEmulator) -> None:
    app.route(east=app.hub, west=other_hub)
    other_hub.registry.put(line("d0"))
    for arguments in (("export", "-o", "export.txt"), ("plan", write(line("d0")))):
        done = shell(*arguments)
        assert (done.status, "--hub with one of: east, west" in done.err) == (2, True)
        done = shell(*arguments, "--hub", "north")
        assert (done.status, "'north'" in done.err) == (2, True)
        assert shell(*arguments, "--hub", "west").status == 0
        assert shell(*arguments, "--hub", other_hub.address).status == 0
    assert shell("plan", write(line("d0")), "--hub", "east").status == 10
    configure_two_hubs(app)
    assert "east, west" in shell("export", "-o", "export.txt").err


def test_no_secret_is_shown(app: App, shell: Shell, fleet: list[str]) -> None:
    secrets: list[Any] = list(line("d0")["authentication"]["symmetricKey"].values())
    for command in (("plan", write(*map(line, fleet))), ("export", "--keys", "-o", "export.txt")):
        done = shell(*command)
        shown = done.out + done.err
        assert not any(secret in shown for secret in (*secrets, "sig=", "SharedAccessKey="))


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (error_from_response(401, {}, b""), ["denied access", "IoT Hub Data Contributor"]),
        (HubUnauthorizedError("many\nlines"), ["az login", "IoT Hub Data Contributor"]),
        (error_from_response(503, {"iothub-errorcode": "ServerBusy"}, b""), ["503 ServerBusy"]),
        (error_from_response(429, {}, b""), ["429", "Try again"]),
        (
            error_from_response(400, {"iothub-errorcode": "BlobContainerValidationError"}, b""),
            ["refused", "firewall", "Storage Blob Data Contributor"],
        ),
        (IncompleteReadError("1 of 2 bytes were read."), ["1 of 2 bytes", "Try again"]),
    ],
)
def test_messages(error: Exception, facts: list[str]) -> None:
    with pytest.raises(CommandError) as explained, hub_access.hub_errors("fleet"):
        raise error
    assert explained.value.status == 4
    assert all(fact in str(explained.value) for fact in facts)
    assert "\n" not in str(explained.value)
