"""The commands of the local stack."""

from __future__ import annotations

import re
import subprocess
import sys

from local import samples
from local.stack import ROOT


def test_demo_succeeds_and_prints_no_secret() -> None:
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
    assert re.search(r"in one job with \d other file", run.stdout)
    assert "line  38  stock-001" in run.stdout
    assert (
        "\nPlan: 1 to create, 3 to update (1 get new keys), 1 unchanged, 1 to delete, 0 left out, "
        "1 would fail\n"
    ) in run.stdout
    output = run.stdout + run.stderr
    keys = re.findall(
        r'"(?:primaryKey|secondaryKey)": "([^"]+)"', samples.ndjson(samples.fleet(1000)).decode()
    )
    assert len(keys) == 500
    for secret in (*keys, "sig=", "AccountKey=", "SharedAccessKey="):
        assert secret not in output


def test_help_lists_the_commands() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "local"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in ("up", "demo", "host"):
        assert f"python -m local {command}" in run.stdout
