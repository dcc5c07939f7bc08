"""The emulator as an installed command, without the packages of the app."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import iothub_emulator
from tests.emulator.support import HubClient, JobContainer, error_code

PROJECT = Path(iothub_emulator.__file__).parent.parent
DEADLINE = 120.0


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install into a separate environment, as `pipx install` and `uv tool install` do."""
    folder = tmp_path_factory.mktemp("emulator")
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = folder / "bin" / "python"
    for arguments in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), str(PROJECT)],
    ):
        subprocess.run([*uv, *arguments], check=True, timeout=DEADLINE)
    return str(folder / "bin" / "iothub-emulator")


def test_installed_command(command: str, job_container: JobContainer) -> None:
    command_line = [command, "--port", "0", "--job-seconds", "0"]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        client = HubClient(process.stdout.readline().rpartition(": ")[2].strip())
        job_container.write({"id": "pump", "status": "enabled"})
        job_id = client.create_job(job_container.request()).json()["jobId"]
        client.wait_for_job(job_id, "completed")
        devices = [device["deviceId"] for device in client.send("GET", "/devices").json()]
        missing = client.send("GET", "/devices/valve")
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert devices == ["pump"]
    assert error_code(missing) == (404, "DeviceNotFound")


def test_help_names_the_command(command: str) -> None:
    run = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)

    assert run.stdout.startswith("usage: iothub-emulator ")


def test_declared_dependencies_match_the_imports() -> None:
    modules = {
        "aiohttp": "aiohttp",
        "azure.core": "azure-core",
        "azure.storage": "azure-storage-blob",
        "cryptography": "cryptography",
        "jwt": "pyjwt",
        "lark": "lark",
        "orjson": "orjson",
    }
    pattern = re.compile(r"^(?:from|import) ((?:azure\.)?\w+)", re.MULTILINE)
    imported = {
        name
        for path in (PROJECT / "iothub_emulator").rglob("*.py")
        for name in pattern.findall(path.read_text("utf-8"))
        if name != "iothub_emulator" and name not in sys.stdlib_module_names
    }
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[<>=\[]", text)[0] for text in project["dependencies"]}

    assert imported == modules.keys()
    assert declared == set(modules.values())
