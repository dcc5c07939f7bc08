"""A posted file is validated like an upload, and nothing is imported."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.app import ROOT, App, device
from tests.web.support import Client, problem_of


def ndjson(*lines: object) -> bytes:
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


GOOD = ndjson(device("pump-1"), device("pump-2", tags={"site": "ä"}))
BROKEN = ndjson(
    device("pump 1"),
    device("pump-2", status="on"),
    b'{"id": "pump-3"',
    device("pump-2"),
    b"[]",
    device("good"),
)
DELETES = ndjson(*(device(f"pump-{number}", importMode="delete") for number in range(3)))
CSV = b"id,status,tags.site\r\npump-1,enabled,7\r\npump 2,disabled,8\r\n"

FILES: dict[str, tuple[bytes, str, Sequence[str], dict[str, Any]]] = {
    "good": (GOOD, "pumps.ndjson", (), {}),
    "broken": (BROKEN, "pumps.ndjson", (), {}),
    "gzip": (gzip.compress(BROKEN), "pumps.ndjson.gz", (), {}),
    "array": (json.dumps([device("pump-1"), {"id": 7}]).encode(), "pumps.json", (), {}),
    "csv": (CSV, "pumps.csv", (), {}),
    "empty": (b"", "pumps.ndjson", (), {}),
    "no text": (b"\x89PNG\r\n\x1a\n\0\0", "pumps.png", (), {}),
    "broken gzip": (gzip.compress(GOOD)[:-9], "pumps.gz", (), {}),
    "half a surrogate pair": (ndjson(b'{"id": "\\ud800", "\\udc00": 1}'), "pumps.ndjson", (), {}),
    "deletes": (DELETES, "pumps.ndjson", ("--max-deletes", "2"), {}),
    "confirmed deletes": (
        DELETES,
        "pumps.ndjson",
        ("--max-deletes", "2", "--confirm-deletes", "3"),
        {"confirmDeletes": 3},
    ),
}


def checked(file: Path, *options: str) -> tuple[list[Any], Any]:
    """Problems and summary of `device-importer check`."""
    command = [sys.executable, "-m", "cli", "check", "--format", "json", *options, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    *problems, summary = map(json.loads, done.stdout.splitlines())
    return problems, summary


@pytest.mark.parametrize("policy", ["reject", "partial"])
def test_the_api_reports_the_same_as_the_command(
    app: App, client: Client, tmp_path: Path, policy: str
) -> None:
    app.configure(VALIDATION_POLICY=policy, MAX_DELETES="2", MAX_DELETE_SHARE="1")
    verdicts = {}
    for case, (content, name, options, query) in FILES.items():
        file = tmp_path / name
        file.write_bytes(content)
        shares = ("--max-deletes", "2", "--max-delete-share", "1", "--policy", policy)
        problems, summary = checked(file, *shares, *options)
        answer = client.post("check", content, name=name, **query)
        assert answer.status_code == 200, case
        result = answer.json()
        problems_of_api = result.pop("problems")
        assert {problem["file"] for problem in problems} <= {str(file)}
        assert problems_of_api == [{**problem, "file": name} for problem in problems], case
        assert all(
            [*api_problem] == [*cli_problem]
            for api_problem, cli_problem in zip(problems_of_api, problems, strict=True)
        )
        del summary["summary"], summary["file"]
        assert result == summary, case
        verdicts[case] = result["importable"]
    assert verdicts == {
        **dict.fromkeys(FILES, False),
        "good": True,
        "confirmed deletes": True,
        **dict.fromkeys(("broken", "gzip", "array", "csv"), policy == "partial"),
    }


def test_the_report_of_an_import_has_the_same_properties(
    app: App, client: Client, tmp_path: Path
) -> None:
    name = "west/pumps.ndjson"
    app.upload(name, BROKEN)
    app.deliver(name)
    report = client.json(f"imports/{app.record(name).id}/files/report.json")
    result = client.post("check", BROKEN, name=name).json()
    file = tmp_path / "pumps.ndjson"
    file.write_bytes(BROKEN)
    problems, _ = checked(file)
    expected = [{**problem, "file": name} for problem in problems]
    assert report["validation"]["problems"] == result["problems"] == expected
    assert {problem["file"] for problem in client.post("check", BROKEN).json()["problems"]} == {""}


def test_nothing_is_imported(app: App, client: Client) -> None:
    with app.counting() as requests:
        assert client.post("check", GOOD).json()["importable"] is True
    assert requests == []
    assert app.records() == []
    assert list(app.blobs.get_container_client(app.container).list_blob_names()) == []


def test_the_settings_apply(app: App, client: Client) -> None:
    app.configure(MAX_DEVICES="1", MAX_REPORTED_PROBLEMS="1", CSV_DEFAULT_STATUS="enabled")
    assert client.post("check", GOOD).json()["codes"].keys() >= {"file-too-many-devices"}
    result = client.post("check", b"id\npump 1\n", name="pumps.csv").json()
    assert "status-missing" not in result["codes"]
    app.configure(MAX_DEVICES="100")
    result = client.post("check", BROKEN).json()
    assert result["truncated"] is True
    assert len([problem for problem in result["problems"] if problem["severity"] == "error"]) == 1


def test_a_large_file(client: Client) -> None:
    lines = [device(f"pump-{number}", tags={"pad": "x" * 200}) for number in range(20_000)]
    content = ndjson(*lines)
    assert len(content) > 4 * 1024 * 1024
    result = client.post("check", content).json()
    assert (result["lines"], result["valid"], result["importable"]) == (20_000, 20_000, True)


def test_a_file_above_the_limit(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.web.api.MAX_POSTED_BYTES", len(GOOD) - 1)
    problem = problem_of(client.post("check", GOOD), 413)
    assert problem["type"] == "urn:device-importer:body-too-large"
    assert f"{len(GOOD):,} bytes" in problem["detail"]
    assert "device-importer check" in problem["detail"]
    monkeypatch.setattr("shared.web.api.MAX_POSTED_BYTES", len(GOOD))
    assert client.post("check", GOOD).json()["importable"] is True


def test_a_body_without_a_length(client: Client) -> None:
    """The host drops a chunked body: an empty file would be a wrong answer."""
    answer = client.post("check", iter([GOOD]))
    problem = problem_of(answer, 411)
    assert problem["type"] == "urn:device-importer:length-required"
    assert "--data-binary" in problem["detail"]


def test_wrong_parameters(client: Client) -> None:
    wrong: list[tuple[str, str]] = [
        ("confirmDeletes", "-1"),
        ("confirmDeletes", "10000001"),
        ("confirmDeletes", "all"),
        ("name", "x" * 513),
        ("policy", "partial"),
    ]
    for parameter, value in wrong:
        query: dict[str, Any] = {parameter: value}
        [error] = problem_of(client.post("check", GOOD, **query), 400)["errors"]
        assert error["parameter"] == parameter
