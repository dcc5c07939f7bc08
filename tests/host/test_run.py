from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import local
from local.host import UsageError
from local.host.run import load_app

APP = """
import os
import azure.functions as func

app = func.FunctionApp()

@app.route()
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


@contextmanager
def start(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(local.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "local.host.run", "--port", "0", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            # Otherwise a failed test would wait for the process.
            process.kill()


def status(url: str, events: bytes | None = None) -> int:
    headers = {"aeg-event-type": "Notification"} if events else {}
    request = urllib.request.Request(url, events, headers)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_runs_until_ctrl_c(folder: Path) -> None:
    with start(folder) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip(":")
        assert process.stdout.readline() == "  hello: [ANY] hello\n"
        assert "x-functions-key" in process.stdout.readline()
        keys = [process.stdout.readline().split()[-1] for _ in range(3)]
        assert status(f"{address}/api/hello") == 401
        assert status(f"{address}/api/hello?code={keys[0]}") == 200
        assert status(f"{address}/runtime/webhooks/blobs?code={keys[1]}") == 400
        assert status(f"{address}/runtime/webhooks/blobs?code={keys[2]}") == 400
        process.send_signal(signal.SIGINT)
        output, log = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert not any(key in output + log for key in keys)
    assert "Executing 'Functions.hello'" in log
    assert "Executed 'Functions.hello' (Succeeded" in log


def test_without_keys(folder: Path) -> None:
    with start(folder, "--no-keys") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip(":")
        with urllib.request.urlopen(f"{address}/api/hello", timeout=DEADLINE) as response:
            assert response.read() == b"from the file"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=DEADLINE)
    assert "key" not in output


def test_ends_after_an_event_for_an_unknown_function(folder: Path) -> None:
    with start(folder, "--no-keys") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1].rstrip(":")
        webhook = f"{address}/runtime/webhooks/blobs?functionName=Host.Functions.other"
        event = {"data": {"url": "https://account.blob.core.windows.net/uploads/a"}}
        assert status(webhook, json.dumps([event]).encode()) == 202
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "'other'" in errors
    assert "Traceback" not in errors


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
