"""The demo as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
import sys

from local import samples
from local.stack import ROOT


def test_the_demo_ends_well_and_tells_no_secret() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "local", "demo", "--log"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for state in ("completed", "completedWithErrors", "rejected"):
        assert re.search(rf"│ {state} +│", run.stdout)
    assert "waits for its turn" in run.stdout
    assert "line  38  stock-001" in run.stdout
    said = run.stdout + run.stderr
    keys = re.findall(
        r'"(?:primaryKey|secondaryKey)": "([^"]+)"', samples.ndjson(samples.fleet(1000)).decode()
    )
    assert len(keys) == 500
    for secret in (*keys, "sig=", "AccountKey=", "SharedAccessKey="):
        assert secret not in said


def test_help_lists_the_commands() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "local"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in ("up", "demo", "hub", "host"):
        assert f"python -m local {command}" in run.stdout
