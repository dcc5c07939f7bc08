"""Manual deletions and edits of the app's rows and blobs."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode

from shared.imports.model.job import JobState
from shared.imports.model.states import ImportState
from shared.imports.store.rows import SCHEMA
from tests.faults.scenario import FILES
from tests.faults.simulation import Simulation

__all__ = ["cancel_jobs", "delete_something", "edit_something"]


def delete_something(simulation: Simulation, rng: random.Random) -> None:
    """Delete one row, one blob or one container."""
    targets = [
        *_rows(simulation),
        *_containers(simulation),
        *_blobs(simulation),
        *_uploads(simulation),
    ]
    if targets:
        _act_on(rng.choice(targets), simulation, rng)


def edit_something(simulation: Simulation, rng: random.Random) -> None:
    """Edit one row, or overwrite one blob."""
    targets = [*_rows(simulation, edit=True), *_blobs(simulation, edit=True)]
    if targets:
        _act_on(rng.choice(targets), simulation, rng)


@dataclass(frozen=True)
class _Target:
    name: str
    #: The imports that it belongs to: none, one, or all of those in a job.
    import_ids: Sequence[str]
    change: Callable[[random.Random], str]


def _act_on(target: _Target, simulation: Simulation, rng: random.Random) -> None:
    simulation.note_imports()
    simulation.edited |= set(target.import_ids)
    simulation.are_counts_edited |= " day-" in target.name
    simulation.are_app_rows_edited |= "(app)" in target.name
    done = "was deleted before"
    with contextlib.suppress(ResourceNotFoundError):
        done = target.change(rng)
    simulation.notes.append(f"by hand: {target.name}: {done}")


def _owners(simulation: Simulation) -> dict[str, Sequence[str]]:
    """Ids in names of rows and containers, with those of the imports that they stand for.

    These are the imports of the scenario's files, of their retries, and the jobs of several that
    any of them is in.
    """
    records = simulation.records()
    ids = [id_ for file in FILES for id_ in simulation.ids_of(file)]
    ids += [record.id for record in records if record.retry_of in ids]
    jobs = {
        job: members
        for job, members in simulation.shared_jobs().items()
        if not set(ids).isdisjoint(members)
    }
    return {**{id_: [id_] for id_ in ids}, **jobs}


def _rows(simulation: Simulation, *, edit: bool = False) -> list[_Target]:
    targets = []
    owners = _owners(simulation)
    for row in simulation.rows():
        owner = next((id_ for id_ in owners if row["RowKey"].endswith(id_)), "")
        is_shared = row["PartitionKey"] in ("(app)", "(sweep)") or _is_day(row["RowKey"])
        if owner or is_shared:
            change = _row_editor(simulation, row) if edit else _row_deleter(simulation, row)
            name = f"row {row['PartitionKey']} {row['RowKey']}"
            targets.append(_Target(name, owners.get(owner, ()), change))
    return targets


def _is_day(row_key: str) -> bool:
    return row_key.startswith("day-") and row_key.count("-") == 1


def _row_deleter(simulation: Simulation, row: TableEntity) -> Callable[[random.Random], str]:
    def change(_: random.Random) -> str:
        simulation.table.delete_entity(row["PartitionKey"], row["RowKey"])
        return "deleted"

    return change


_GARBAGE: tuple[Any, ...] = (
    *("", "garbage", "{", 5, -1, True, b"\x00\xff", 1.5, "2026-13-01"),
    datetime(2099, 1, 1, tzinfo=UTC),
    datetime(1999, 1, 1, tzinfo=UTC),
)


#: Times until or since which an import waits; a wrong clock has the effect of an edit.
_TIMES = ("nextTryAt", "leaseUntil", "unresolvedSince", "refusedSince", "lastStartAt")


def _row_editor(simulation: Simulation, row: TableEntity) -> Callable[[random.Random], str]:
    def change(rng: random.Random) -> str:
        entity = dict(simulation.table.get_entity(row["PartitionKey"], row["RowKey"]))
        columns = sorted(entity.keys() - {"PartitionKey", "RowKey", "schema"})
        kind = rng.choice(["state", "remove", "garbage", "garbage", "schema", "future"])
        if kind == "state" and "state" in entity:
            states = [*ImportState, *JobState, "Completed", "nonsense"]
            entity["state"] = rng.choice(states)
            done = f"state {entity['state']}"
        elif kind == "schema":
            entity["schema"] = 99
            done = "schema 99"
            # Rolled back after the queue's deadline.
            simulation.recoveries += [
                (7, lambda: _older_again(simulation, row)),
                (8, lambda: cancel_jobs(simulation)),
            ]
        elif kind == "future" and "state" in entity:
            column = rng.choice(_TIMES)
            entity[column] = datetime(2099, 1, 1, tzinfo=UTC)
            done = f"{column} far ahead"
        elif kind == "remove" and columns:
            column = rng.choice(columns)
            del entity[column]
            done = f"{column} removed"
        else:
            column = rng.choice(columns or ["state"])
            entity[column] = rng.choice(_GARBAGE)
            done = f"{column} = {entity[column]!r}"
        simulation.table.update_entity(entity, mode=UpdateMode.REPLACE)
        return done

    return change


def _older_again(simulation: Simulation, row: TableEntity) -> None:
    """Roll back to a version that can read the row."""
    key = {"PartitionKey": row["PartitionKey"], "RowKey": row["RowKey"]}
    with contextlib.suppress(ResourceNotFoundError):
        simulation.table.update_entity({**key, "schema": SCHEMA}, mode=UpdateMode.MERGE)


def cancel_jobs(simulation: Simulation) -> None:
    """Cancel the jobs at the hub."""
    for job in simulation.hub.jobs:
        if job["status"] in ("enqueued", "running"):
            simulation.hub.jobs.cancel(job["jobId"])


def _containers(simulation: Simulation) -> list[_Target]:
    def deleter(name: str) -> Callable[[random.Random], str]:
        def change(_: random.Random) -> str:
            simulation.blobs.delete_container(name)
            return "deleted"

        return change

    return [
        _Target(f"container {item.name}", members, deleter(item.name))
        for id_, members in _owners(simulation).items()
        for item in simulation.blobs.list_containers(f"import-{id_}")
    ]


def _blobs(simulation: Simulation, *, edit: bool = False) -> list[_Target]:
    def changer(container: str, name: str) -> Callable[[random.Random], str]:
        blob = simulation.blobs.get_blob_client(container, name)

        def change(rng: random.Random) -> str:
            if not edit:
                blob.delete_blob()
                return "deleted"
            content = rng.choice([b"", b"garbage\n", b"{}", b'{"id":"pump-7"}\n'])
            blob.upload_blob(content, overwrite=True)
            return f"overwritten with {content!r}"

        return change

    return [
        _Target(f"blob {container.name}/{blob.name}", members, changer(container.name, blob.name))
        for id_, members in _owners(simulation).items()
        for container in simulation.blobs.list_containers(f"import-{id_}")
        for blob in simulation.blobs.get_container_client(container.name).list_blobs()
    ]


def _uploads(simulation: Simulation) -> list[_Target]:
    def deleter(name: str) -> Callable[[random.Random], str]:
        def change(_: random.Random) -> str:
            with contextlib.suppress(HttpResponseError):
                simulation.container.delete_blob(name)
            return "deleted"

        return change

    return [
        _Target(f"upload {file}", [simulation.id_of(file, etag)], deleter(file))
        for file, etag in simulation.versions()
        if file in FILES
    ]
