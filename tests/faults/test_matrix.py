"""Every fault at every request of whole imports: nothing is lost, nothing twice, in order.

Each scenario is played once to count the requests that leave the process. Then it is played again
for each of them, with one fault there; after that all events are announced again and the timers
tick until nothing is open. How it ends must not depend on the fault.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpTransport
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from tests.faults.injection import Answers, Fault, Transport
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.world import KEYS, Account, World
from tests.races.invariants import ends_are_counted_once


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """A storage account of its own, so that the sweeper finds little else; SDKs do not wait."""
    with pytest.MonkeyPatch.context() as patch, Answers(), Azurite() as azurite:
        patch.setattr(HttpTransport, "sleep", lambda *_: None)
        text = azurite.connection_string
        with (
            BlobServiceClient.from_connection_string(text, transport=Transport(None)) as blobs,
            TableServiceClient.from_connection_string(text, transport=Transport(None)) as tables,
        ):
            yield Account(text, blobs, tables)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_fault_at_every_request(account: Account, name: str, fault: Fault) -> None:
    scenario = SCENARIOS[name]
    [world] = _worlds(account, scenario, [None])
    with world:
        scenario.play(world)
        requests = len(world.injector.requests)
        world.settle()
        _check(world, scenario)
    missed = []
    for position, world in enumerate(_worlds(account, scenario, [fault] * requests)):
        with world:
            scenario.play(world)
            world.settle()
            try:
                _check(world, scenario)
            except AssertionError as error:
                error.add_note(f"{name}, {fault}: request {position}, {world.injector.struck_at}")
                error.add_note(str([(one.file, one.failure_reason) for one in world.records()]))
                raise
            if not world.injector.struck_at:
                missed.append(position)
    assert not missed


def _worlds(account: Account, scenario: Scenario, faults: Sequence[Fault | None]) -> list[World]:
    """Worlds with their uploads; the younger ones of all are uploaded in a later second."""
    worlds = [
        World(account, fault, position, echo_uris=scenario.echo_uris)
        for position, fault in enumerate(faults)
    ]
    for number, step in enumerate(scenario.prepare):
        if number:
            _next_second()
        for world in worlds:
            step(world)
    return worlds


def _next_second() -> None:
    """Storage tells upload times in whole seconds."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)


def _check(world: World, scenario: Scenario) -> None:
    """The invariants, against what hub and storage hold."""
    records = world.records()
    current = {}
    for record in reversed(records):
        current[f"retry of {record.file}" if record.retry_of else record.file] = record
    assert {file: record.state for file, record in current.items()} == scenario.states
    reports = {record.id: world.report(record) for record in records if record.report}
    for record in records:
        assert record.state.is_final
        jobs = world.jobs_of(record)
        assert len(jobs) <= 1
        if record.state in ("completed", "completedWithErrors"):
            assert [job["status"] for job in jobs] == ["completed"]
        if report := reports.get(record.id):
            assert (report["state"], report["failureReason"]) == (
                record.state,
                record.failure_reason,
            )
    assert len(world.hub.jobs) == sum(len(world.jobs_of(record)) for record in records) + len(
        [job for job in world.hub.jobs if job["type"] == "export"]
    )
    stored = {device: world.hub.registry.get(device) for device in ("pump-1", "pump-2")}
    assert {id_: line["tags"]["n"] for id_, line in stored.items() if line} == scenario.devices
    rows = world.rows()
    ends_are_counted_once(records, rows)
    assert not [row for row in rows if row["RowKey"].startswith("queue-")]
    told = f"{rows}{reports}"
    assert not [secret for secret in (*KEYS.values(), "sig=", "AccountKey") if secret in told]
    _nothing_changes(world, rows)


def _nothing_changes(world: World, rows: Iterable[dict[str, Any]]) -> None:
    """A final record stays as it is, whatever is announced again."""
    before = [row for row in rows if row["PartitionKey"] != "(sweep)"]
    jobs = len(world.hub.jobs)
    for name in world.uploaded:
        world.deliver(name)
    world.tick()
    assert [row for row in world.rows() if row["PartitionKey"] != "(sweep)"] == before
    assert len(world.hub.jobs) == jobs
