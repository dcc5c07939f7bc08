"""Devices per second that the hub emulator imports, which limits other measurements."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.environment import HubProcess, Scene
from bench.rounds import Sample, sample
from bench.sample_files import MIXED, write
from bench.validators import OURS
from local.azurite import Azurite
from shared.hub.jobs import ImportJobRequest, JobStatus
from shared.imports.app import utc_now

__all__ = ["Row", "add_options", "imports", "run", "table"]

#: Seconds between two requests for a job.
_POLL = 0.05
_ROW = "{:26}{:>10}{:>9}{:>11}{:>13}"


@dataclass(frozen=True)
class Row:
    """One import job."""

    label: str
    devices: int
    #: From start to end of the job, by the hub's clock.
    seconds: float
    #: Peak of the emulator's process until the end of the job.
    peak_bytes: int

    @property
    def rate(self) -> float:
        return self.devices / self.seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        type=int,
        default=100_000,
        metavar="N",
        help="devices in a job (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Azurite() as azurite:
        file, state = Path(folder) / "devices.txt", Path(folder) / "hub"
        write(file, MIXED, args.devices)
        in_memory = imports(azurite.connection_string, file, args.devices)
        in_file = imports(azurite.connection_string, file, args.devices, state)
        validator = sample(OURS, file)
        print(
            *table([*in_memory, *in_file], validator, (state / "hub.db").stat().st_size),
            "",
            sep="\n",
        )


def imports(storage: str, file: Path, devices: int, state: Path | None = None) -> list[Row]:
    """Import a file twice: create the devices, then overwrite them."""
    options = () if state is None else ("--state", str(state))
    where = "in memory" if state is None else "in a file"
    with (
        HubProcess(storage, options=options) as hub,
        Scene(storage, hub.connection_string) as scene,
    ):
        request = _staged(scene, file)
        return [
            Row(f"{verb} {where}", devices, _import(scene, request), hub.peak_bytes)
            for verb in ("create", "overwrite")
        ]


def table(rows: Sequence[Row], validator: Sample, data_bytes: int) -> Iterator[str]:
    yield f"import of {rows[0].devices:,} devices by the hub emulator, without artificial delay"
    yield _ROW.format("", "devices/s", "seconds", "peak MiB", "of validator")
    for row in rows:
        yield _ROW.format(
            row.label,
            f"{row.rate:,.0f}",
            f"{row.seconds:.1f}",
            f"{row.peak_bytes / 2**20:.0f}",
            f"{row.rate / validator.rate:.2f}",
        )
    yield f"{validator.rate:,.0f} devices/s: the app's validator alone, same file, same run"
    yield f"{data_bytes / rows[0].devices:,.0f} bytes per device in the file"


def _staged(scene: Scene, file: Path) -> ImportJobRequest:
    name = f"by-hand-{scene.container}"
    storage = scene.importer.services.storage
    uri = storage.container_uri_with_sas(name, timedelta(hours=1), utc_now())
    request = ImportJobRequest(input_blob_container_uri=uri, output_blob_container_uri=uri)
    with file.open("rb") as lines:
        scene.blobs.create_container(name).upload_blob(request.input_blob_name, lines)
    return request


def _import(scene: Scene, request: ImportJobRequest) -> float:
    client = scene.importer.services.hubs[scene.hub]
    job = client.create_job(request)
    while not job.status.is_final:
        time.sleep(_POLL)
        job = client.get_job(job.job_id)
    assert job.status is JobStatus.COMPLETED, job.failure_reason
    assert job.start_time_utc
    assert job.end_time_utc
    return (job.end_time_utc - job.start_time_utc).total_seconds()
