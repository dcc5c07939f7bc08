"""Run each client in a separate environment, which the Makefile installs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from tests.emulator.support import JobContainer

FOLDER = Path(__file__).parent
DEADLINE = 60.0
Seen = dict[str, Any]

PUMP_KEYS = {
    "primaryKey": "cHJpbWFyeSBrZXkgb2YgYSB0ZXN0",
    "secondaryKey": "c2Vjb25kYXJ5IGtleSBvZiB0ZXN0",
}
FLEET: list[dict[str, Any]] = [
    {"id": "meter", "status": "enabled", "tags": {"site": "west"}},
    {"id": "ghost", "status": "enabled", "importMode": "delete"},
]


@dataclass(frozen=True)
class Run:
    """What a version of a client printed, and the container of its jobs."""

    version: str
    seen: Seen
    job_container: JobContainer


def run_client(
    version: str,
    command: Sequence[str],
    hub: HubEmulator,
    blob_service: BlobServiceClient,
    variables: Mapping[str, str],
    *,
    host: str | None = None,
) -> Run:
    """Run a client on a hub whose first job does not end.

    ``host`` replaces host name and port of the hub. The client's import reads ``fleet.txt`` or
    ``devices.txt``.
    """
    hub.faults.add("hangJob")
    job_container = JobContainer(blob_service)
    for name in ("fleet.txt", "devices.txt"):
        job_container.write(*FLEET, name=name)
    uri = job_container.uri()
    host = host or hub.address
    configuration = {
        "connectionString": hub.connection_string().replace(hub.address, host),
        "host": host,
        "token": hub.token(),
        "uris": {"input": uri, "output": uri},
    }
    ended = subprocess.run(
        command,
        input=json.dumps(configuration),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return Run(version, json.loads(ended.stdout), job_container)
