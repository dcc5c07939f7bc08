"""Benchmark of a nightly file of which few devices changed: APPLY=changes beside APPLY=all."""

from __future__ import annotations

import argparse
import base64
import json
import resource
import time
from collections.abc import Iterable, Iterator

from bench import import_results
from bench.environment import Cost, HubProcess, Scene
from bench.validation_results import verdict
from local.azurite import Azurite
from shared.imports.model.record import ImportRecord
from shared.imports.operate.import_filter import ImportFilter

__all__ = ["add_options", "run"]

#: What the process of the app may have at most.
MAX_MIB = 300
_POLL = 0.2
_NIGHT = "night.ndjson"
#: Lines of a piece of a file.
_PIECE = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    for name, default, what in (
        ("--devices", 20_000, "devices in the registry and in the file"),
        ("--changed", 200, "devices that differ"),
    ):
        parser.add_argument(
            name, type=int, default=default, metavar="N", help=f"{what}; {default:,} by default"
        )


def run(args: argparse.Namespace) -> None:
    print(*import_results.setting(), "", sep="\n", flush=True)
    with Azurite() as azurite:
        storage = azurite.connection_string
        with HubProcess(storage) as hub, Scene(storage, hub.connection_string) as scene:
            everything = _imported(scene, "first.ndjson", _file(args.devices, 0))
            hub_seconds = _job_seconds(scene, "first.ndjson")
            with Scene(storage, hub.connection_string, APPLY="changes") as nightly:
                changes = _imported(nightly, _NIGHT, _file(args.devices, args.changed))
                for line in _report(args, everything, changes, _record(nightly, _NIGHT)):
                    print(line, flush=True)
    print(f"the job with all lines took {hub_seconds:.1f} s of the hub")


def _imported(scene: Scene, name: str, data: Iterable[bytes]) -> Cost:
    """What an import took, from its event to its final record."""
    scene.blobs.get_blob_client(scene.container, name).upload_blob(data)

    def finish() -> None:
        scene.importer.on_upload(scene.container, name)
        while scene.importer.services.queue_rows.oldest(scene.hub):
            scene.importer.on_tick()
            time.sleep(_POLL)

    return scene.measured(finish)[1]


def _record(scene: Scene, name: str) -> ImportRecord:
    page = scene.importer.reader.page(ImportFilter(), 10)
    return next(record for record in page.imports if record.file == name)


def _job_seconds(scene: Scene, name: str) -> float:
    job = _record(scene, name).job
    assert job.start_time_utc
    assert job.end_time_utc
    return (job.end_time_utc - job.start_time_utc).total_seconds()


def _report(
    args: argparse.Namespace, everything: Cost, changes: Cost, record: ImportRecord
) -> Iterator[str]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    yield f"{args.devices:,} devices, of which {args.changed:,} changed"
    for what, cost in (("all lines", everything), ("only what changes", changes)):
        yield (
            f"{what}: {cost.seconds:.1f} s, {cost.cpu_seconds:.1f} s of the processor, "
            f"{cost.requests:,} requests"
        )
    yield ", ".join(f"{state} {at:%H:%M:%S}" for state, at in record.history)
    yield (
        f"{record.state}: {record.imported:,} imported, {record.unchanged:,} unchanged, "
        f"{record.failed:,} failed"
    )
    yield verdict(record.imported == args.changed, "what changed is sent", f"{record.imported:,}")
    yield verdict(peak <= MAX_MIB, f"{MAX_MIB} MiB at most", f"{peak:,} MiB")


def _file(devices: int, changed: int) -> Iterator[bytes]:
    """A file in pieces, so that its size is not that of the process."""
    for start in range(0, devices, _PIECE):
        numbers = range(start, min(devices, start + _PIECE))
        yield b"".join(_line(number, number < changed) for number in numbers)


def _line(number: int, is_changed: bool) -> bytes:
    primary, secondary = (
        base64.b64encode(number.to_bytes(31, "big") + bytes([end])).decode() for end in (1, 2)
    )
    device = {
        "id": f"pump-{number:07}",
        "status": "enabled",
        "authentication": {
            "type": "sas",
            "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
        },
        "tags": {"site": f"hall {number % 17}", "isChanged": is_changed},
        "properties": {"desired": {"interval": 30, "limits": {"low": 0.5, "high": 80}}},
    }
    return json.dumps(device, separators=(",", ":")).encode() + b"\n"
