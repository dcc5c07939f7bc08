"""`template`, and `check --mapping`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.__main__ import main
from shared.device_files.mapping.document import read_mapping

PRINT = "0123456789abcdef0123456789abcdef01234567"
THUMBPRINT = "authentication.x509Thumbprint.primaryThumbprint"
DEVICES = f"""Acme delivery note 4711;;;;

Serial No;"Location
(city)";Thumb;Unit price;Model
0815;Oslo;{PRINT};99,50;P1
"""


class Result:
    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        try:
            self.status = int(main([*map(str, arguments)]))
        except SystemExit as end:
            self.status = int(str(end.code))
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "devices.csv"
    path.write_text(DEVICES, encoding="utf-8-sig")
    return path


def test_a_mapping_is_guessed(devices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = Result(capsys, "template", "--from", devices, "-o", "m.json")
    assert (done.status, done.out) == (0, "")
    assert json.loads(Path("m.json").read_text()) == {
        "columns": {
            "Serial No": "id",
            "Thumb": "authentication.x509Thumbprint.primaryThumbprint",
            "Model": "tags.model",
        },
        "defaults": {"status": "enabled"},
        "ignore": ["Location (city)", "Unit price"],
    }
    first, guesses, ignored, check, apply, then = done.err.splitlines()
    assert first == "The header is line 3. Delete the lines before it."
    assert guesses.startswith('Check the guesses: "Serial No" as id, ')
    assert '"Unit price"' in ignored
    assert check.endswith(f"device-importer check --mapping m.json {devices}")
    assert apply.endswith("device-importer upload --name FOLDER/_mapping.json m.json")
    assert then.endswith(f"device-importer upload --name FOLDER/ {devices}")
    devices.write_text("".join(DEVICES.splitlines(keepends=True)[2:]))
    checked = Result(capsys, "check", "--mapping", "m.json", devices)
    assert checked.status == 0
    assert checked.out == f"{devices}: 1 of 1 line valid; would be imported (csv)\n"
    assert Result(capsys, "check", "--mapping", "m.json").out == "m.json: a valid mapping\n"


def test_nothing_is_overwritten(devices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = Result(capsys, "template", "--from", devices, "-o", devices)
    assert done.status == 2
    assert "exists and is not overwritten. Rename or delete it, or name another file" in done.err
    assert devices.read_text(encoding="utf-8-sig") == DEVICES


@pytest.mark.parametrize(
    ("header", "columns", "note"),
    [
        ("id,Status,tags.site", {}, "To check both"),
        ("Colour,Size", {}, "To fill in: no column of the device id was recognised."),
        ("Name,Device ID,SN", {"Device ID": "id"}, 'Ignored: "Name", "SN".'),
        (
            "id,Key",
            {"Key": "authentication.symmetricKey.primaryKey"},
            "To fill in: authentication.symmetricKey.secondaryKey is required",
        ),
        ("Serial,,Serial", {"Serial": "id"}, "Two columns have the same name"),
        ("Serial,,Serial", {"Serial": "id"}, 'guesses: "Serial" as id.'),
        ("id,Thumbprint SHA-1", {"Thumbprint SHA-1": THUMBPRINT}, "Check the guesses"),
        ("id,Cert. fingerprint (SHA-256)", {"Cert. fingerprint (SHA-256)": THUMBPRINT}, ""),
        ("id,Certificate SHA1,Hash SHA-1", {"Certificate SHA1": THUMBPRINT}, 'Ignored: "Hash'),
        ("id,Firmware SHA-1,Certificate,Primary No", {}, "Ignored"),
        ("id,SHA1,SHA256", {"SHA1": THUMBPRINT}, 'Ignored: "SHA256"'),
        (
            "sep=|\nStandort|Seriennummer",
            {"Standort": "tags.site", "Seriennummer": "id"},
            "Check the",
        ),
    ],
)
def test_guesses(
    devices: Path,
    capsys: pytest.CaptureFixture[str],
    header: str,
    columns: dict[str, str],
    note: str,
) -> None:
    devices.write_text(f"{header}\n")
    done = Result(capsys, "template", "--from", devices)
    assert done.status == 0
    assert json.loads(done.out)["columns"] == columns
    assert note in done.err
    assert "Delete the lines before it" not in done.err
    read_mapping(done.out.encode())


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "It is empty"),
        (b"PK\x03\x04 xl/workbook.xml", "It looks like an Excel workbook (.xlsx). Save it as CSV"),
        ("Größe;id".encode("cp1252"), "It is not UTF-8. Save it as CSV (UTF-8)."),
        (b'{"id": "a"}', "It looks like JSON"),
        (b"id,bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE=\n", "it contains a key (not shown)"),
    ],
)
def test_files_without_a_header(
    devices: Path, capsys: pytest.CaptureFixture[str], content: bytes, fact: str
) -> None:
    devices.write_bytes(content)
    done = Result(capsys, "template", "--from", devices)
    assert (done.status, done.out) == (2, "")
    assert fact in done.err
    assert "bWFk" not in done.err


@pytest.mark.parametrize(
    ("header", "fact"),
    [
        (";".join(["id", *(f"x{number}" for number in range(1001))]), "1000 entries at most"),
        (f"id;{'x' * 257}", "256 characters at most"),
        (";".join(["id", *(f"{'ä' * 33}{number:03}" for number in range(870))]), "65,536 bytes"),
        (f"id;{'x;' * 40_000}", "Its first line has more than 65,536 bytes"),
    ],
)
def test_headers_that_no_mapping_can_name(
    devices: Path, capsys: pytest.CaptureFixture[str], header: str, fact: str
) -> None:
    devices.write_text(f"{header}\n")
    done = Result(capsys, "template", "--from", devices, "-o", "m.json")
    assert (done.status, Path("m.json").exists()) == (2, False)
    assert fact in done.err
    assert "columns in the file." in done.err


def test_a_guess_for_a_header_with_line_ends(
    devices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices.write_text('"Serial\nNo";"Status\n(text)"\na;b\n')
    assert Result(capsys, "template", "--from", devices, "-o", "m.json").status == 0
    assert Result(capsys, "check", "--mapping", "m.json", devices).status == 0


def test_the_empty_file(devices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = Result(capsys, "template")
    assert done.status == 0
    header = done.out.splitlines()[0].split(",")
    assert header[:2] == ["id", "status"]
    assert all(name in done.err for name in header)
    devices.write_text(f"{done.out}pump-1,enabled{',' * (len(header) - 2)}\n")
    assert Result(capsys, "check", devices).status == 0


def test_an_invalid_mapping(devices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = Path("m.json")
    mapping.write_text('{\n"column": {}}')
    done = Result(capsys, "check", "--mapping", mapping, devices)
    assert done.status == 1
    assert "line 2 (column): the mapping is invalid" in done.out
    assert str(devices) not in done.out
    assert "No device file was checked" in done.err
    done = Result(capsys, "check", "--format", "json", "--mapping", mapping)
    problem, summary = map(json.loads, done.out.splitlines())
    assert (problem["line"], problem["field"]) == (2, "column")
    assert (summary["format"], summary["importable"]) == ("mapping", False)
    export = Path("export.txt")
    export.write_text("")
    done = Result(capsys, "plan", "--registry", export, "--mapping", mapping, devices)
    assert done.status == 1
    assert "m.json, line 2, column: unknown member" in done.out


def test_plan(devices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    devices.write_text("Serial\na\n")
    Path("_mapping.json").write_text(
        '{"columns": {"Serial": "id"}, "defaults": {"status": "enabled"}}'
    )
    Path("export.txt").write_text("")
    done = Result(capsys, "plan", "--registry", "export.txt", "--mapping", "_mapping.json", devices)
    assert "Plan: 1 to create" in done.out


@pytest.mark.parametrize("arguments", [[], ["--mapping", "missing.json"]])
def test_wrong_usage(
    devices: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert Result(capsys, "check", *arguments).status == 2
