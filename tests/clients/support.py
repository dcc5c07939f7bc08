"""Runs the clients, each in an environment of its own that the Makefile sets up."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iothub_emulator import HubEmulator
from tests.emulator.support import Place

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
    command: Sequence[str], hub: HubEmulator, place: Place, host: str, **variables: str
) -> Seen:
    """What a client has seen of a hub whose first job has no end."""
    hub.faults.add("hangJob")
    uri = place.uri()
    told = {
        "connectionString": hub.connection_string().replace(hub.address, host),
        "host": host,
        "token": hub.token(),
        "uris": {"input": uri, "output": uri},
    }
    ended = subprocess.run(
        command,
        input=json.dumps(told),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: Seen = json.loads(ended.stdout)
    return seen
