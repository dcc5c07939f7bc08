"""The plan benchmark plans the stated devices. No timing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.plan import measure, table, write

DEVICES = 20


@pytest.mark.parametrize(("each", "updates"), [(10, 2), (1, 20)])
def test_a_file_is_planned(tmp_path: Path, each: int, updates: int) -> None:
    file, export = tmp_path / "devices.txt", tmp_path / "export.txt"
    write(file, export, DEVICES, each)
    row = measure("alike", file, export)
    assert row.devices == DEVICES
    assert f" {updates} to update (0 get new keys), {DEVICES - updates} unchanged," in row.summary
    assert row.peak_bytes > 0
    assert list(table([row]))
