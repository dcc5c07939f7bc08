"""`upload` of mappings, and of files that they apply to."""

from __future__ import annotations

import json
from pathlib import Path

from tests.app import App
from tests.cli.conftest import Shell

MAPPING = json.dumps(
    {
        "columns": {"Serial": "id"},
        "defaults": {"status": "enabled", "authentication.type": "certificateAuthority"},
    }
)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_a_mapping_and_its_files(app: App, shell: Shell) -> None:
    devices, mapping = write("a.csv", "Serial\na\n"), write("_mapping.json", MAPPING)
    done = shell("upload", devices, mapping)
    assert done.status == 0
    first, second = done.out.splitlines()
    assert first.startswith("_mapping.json  uploaded; applies to all files of the container's root")
    assert first.endswith("CSV files without its columns are rejected")
    assert "a.csv  uploaded" in second
    assert "a.csv: checked with the mapping _mapping.json" in done.err
    for name in ("_mapping.json", "a.csv"):
        app.deliver(name)
    app.finish()
    [record] = app.records()
    assert (record.file, record.imported) == ("a.csv", 1)
    # The mapping in the container applies to files that are uploaded alone.
    done = shell("upload", write("b.csv", "Serial\nb\n"))
    assert (done.status, "b.csv: checked with the mapping _mapping.json" in done.err) == (0, True)
    done = shell("upload", write("c.csv", "Serial,Price\nc,1\n"))
    assert done.status == 1
    assert "csv-column-unmapped" in done.out
    shown = shell("show", record.id)
    assert f"_mapping.json, ETag {record.mapping_etag}" in shown.out
    kept = shell("show", record.id, "--file", "mapping.json", "--output", "-")
    assert kept.out == MAPPING


def test_a_folder_for_all_files(app: App, shell: Shell) -> None:
    devices = write("a.csv", "Serial\na\n")
    done = shell("upload", "--name", "maker/", devices, write("_mapping.json", MAPPING))
    assert done.status == 0
    assert "maker/a.csv  uploaded" in done.out
    assert "applies to all files of maker/" in done.out
    # A mapping may have any name locally.
    mapping = write("second.json", '{"defaults": {"status": "enabled"}}')
    done = shell("upload", mapping, "--name", "others/_mapping.json")
    assert "others/_mapping.json  uploaded; applies to all files of others/" in done.out
    assert "are rejected" not in done.out
    done = shell("upload", devices, mapping, "--name", "maker/x")
    assert (done.status, "or a folder with / at its end" in done.err) == (2, True)


def test_a_mapping_alone(app: App, shell: Shell) -> None:
    mapping = write("_mapping.json", MAPPING)
    assert shell("upload", mapping, "--watch").status == 0
    [uploaded] = shell.json("upload", mapping, "--overwrite")
    assert uploaded == {"file": "_mapping.json", "hub": app.hub.address, "mapping": True}


def test_an_invalid_mapping(app: App, shell: Shell) -> None:
    mapping = write("_mapping.json", '{"x": 1}')
    done = shell("upload", mapping)
    assert done.status == 1
    assert "_mapping.json: 1 error; would be rejected (mapping)" in done.out
    assert not app.blobs.get_blob_client(app.container, "_mapping.json").exists()
    # Unchecked, it is an import that is rejected.
    [uploaded] = shell.json("upload", mapping, "--no-check")
    app.deliver("_mapping.json")
    assert app.record("_mapping.json").id == uploaded["id"]
    devices = write("a.csv", "id,status\na,enabled\n")
    done = shell("upload", devices)
    assert done.status == 1
    assert "the mapping is invalid (_mapping.json, line 1, x: unknown member" in done.out
