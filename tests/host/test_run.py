from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import local
from local.host import UsageError
from local.host.run import load_app

APP = """
import os
import azure.functions as func

app = func.FunctionApp()

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> str:
    return os.environ["GREETING"]
"""

#: Seconds; long, because starting a process is slow on a busy machine.
DEADLINE = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An app with everything that a run needs."""
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    settings = {"IsEncrypted": False, "Values": {"GREETING": "from the file"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(settings))
    return tmp_path


def start(folder: Path) -> subprocess.Popen[str]:
    root = Path(local.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "local.host.run", "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_runs_until_ctrl_c(folder: Path) -> None:
    with start(folder) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip(":")
        assert process.stdout.readline() == "  hello: [ANY] hello\n"
        with urllib.request.urlopen(f"{address}/api/hello", timeout=DEADLINE) as response:
            assert response.read() == b"from the file"
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert "Executing 'Functions.hello'" in log
    assert "Executed 'Functions.hello' (Succeeded" in log


def test_error_is_printed_without_a_traceback(folder: Path) -> None:
    (folder / "host.json").unlink()
    with start(folder) as process:
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "host.json: cannot be read" in errors
    assert "Traceback" not in errors


def test_folder_without_an_app(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"function_app\.py"):
        load_app(tmp_path)
