"""Run each client in a separate environment, which the Makefile installs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def run_client(
    command: Sequence[str],
    hub: HubEmulator,
    job_container: JobContainer,
    host: str,
    **variables: str,
) -> Seen:
    """Run a client on a hub whose first job does not end; return the results it prints."""
    hub.faults.add("hangJob")
    uri = job_container.uri()
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
    seen: Seen = json.loads(ended.stdout)
    return seen
