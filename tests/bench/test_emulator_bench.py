"""The emulator benchmark imports the stated devices. No timing."""

from __future__ import annotations

from pathlib import Path

from bench.emulator import imports, table
from bench.rounds import sample
from bench.sample_files import MIXED, write
from bench.validators import OURS

DEVICES = 50


def test_a_file_is_imported_twice(storage_connection_string: str, tmp_path: Path) -> None:
    file, state = tmp_path / "devices.txt", tmp_path / "hub"
    write(file, MIXED, DEVICES)
    rows = imports(storage_connection_string, file, DEVICES, state)

    assert [row.label for row in rows] == ["create in a file", "overwrite in a file"]
    assert all(row.rate > 0 and row.peak_bytes > 0 for row in rows)
    lines = list(table(rows, sample(OURS, file), (state / "hub.db").stat().st_size))
    assert "50 devices" in lines[0]
    assert len(lines) == 6
