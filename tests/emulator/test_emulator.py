"""The emulator as an object and as a command."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

import iothub_emulator
from iothub_emulator import HubEmulator
from iothub_emulator.cli import main
from tests.emulator.support import DEADLINE, HubClient, JobContainer, stored

ROOT = Path(__file__).resolve().parents[2]


def test_exports() -> None:
    assert iothub_emulator.__all__ == ["HubEmulator"]


def test_connection_string_is_the_same_in_every_run() -> None:
    assert HubEmulator(port=8081).connection_string() == (
        "HostName=127.0.0.1:8081;SharedAccessKeyName=iothubowner;"
        "SharedAccessKey=ZLVDm0EBATUWXd6bI2oMxoBKU+LxQ49mbAhBLHqLpjo=;UseDevelopmentEmulator=true"
    )


def test_stop_ends_threads_and_sockets(job_container: JobContainer) -> None:
    threads = set(threading.enumerate())
    with HubEmulator(job_seconds=60) as hub:
        client = HubClient(hub.connection_string())
        job_container.write({"id": "pump", "status": "enabled"})
        client.create_job(job_container.request())
        host, port = hub.address.split(":")

    assert set(threading.enumerate()) == threads
    assert hub.jobs[0]["status"] == "cancelled"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=1)


def test_restart_keeps_address_and_registry() -> None:
    hub = HubEmulator()
    with hub:
        address = hub.address
        hub.registry.put({"id": "pump"})
    with hub:
        assert hub.address == address
        assert HubClient(hub.connection_string()).send("GET", "/devices/pump").status_code == 200


def test_port_in_use(hub: HubEmulator) -> None:
    port = int(hub.address.split(":")[1])

    with pytest.raises(OSError, match="address already in use"):
        HubEmulator(port=port).start()


@pytest.mark.parametrize("ahead", [timedelta(days=3), timedelta(hours=-2)], ids=str)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/jobs", 200),
        ("GET", "/jobs/nobody", 404),
        ("POST", "/jobs/create", 400),
        ("GET", "/nowhere", 404),
        ("PUT", "/jobs", 405),
        ("GET", "/emulator/faults", 200),
    ],
)
def test_responses_are_dated_by_the_clock_of_the_hub(
    hub: HubEmulator, client: HubClient, ahead: timedelta, method: str, path: str, status: int
) -> None:
    hub.clock.ahead = ahead
    answer = client.send(method, path, {})
    dates = [value for name, value in answer.raw.headers.items() if name.lower() == "date"]

    assert answer.status_code == status
    [date] = map(parsedate_to_datetime, dates)
    assert abs(date - datetime.now(UTC) - ahead) < timedelta(seconds=30)


def test_error_responses_are_dated_too(hub: HubEmulator, client: HubClient) -> None:
    def fail(job: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError

    hub.clock.ahead = timedelta(days=1)
    hub.faults.add("throttle")
    throttled = client.send("GET", "/jobs")
    rejected = client.send("GET", "/jobs", headers={"Authorization": ""})
    hub.job_answers.alter = fail
    hub.jobs.add_foreign()
    broken = client.send("GET", "/jobs")

    assert [a.status_code for a in (throttled, rejected, broken)] == [429, 401, 500]
    for answer in (throttled, rejected, broken):
        date = parsedate_to_datetime(answer.headers["Date"])
        assert date > datetime.now(UTC) + timedelta(hours=23)


def test_nothing_secret_is_logged(
    hub: HubEmulator,
    client: HubClient,
    job_container: JobContainer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="iothub_emulator")
    job_container.write({"id": "pump", "status": "enabled"})
    client.create_job(job_container.request())
    hub.wait_idle(timeout=10)

    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "POST /jobs/create -> 200" in logged
    assert "enqueued -> running" in logged
    assert "running -> completed" in logged
    assert job_container.client.url in logged
    assert "sig" not in logged
    assert (
        stored(hub.registry, "pump")["authentication"]["symmetricKey"]["primaryKey"] not in logged
    )


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /jobs HTTP/1.1\r\nHost: hub\r\nAuthorization: secret\x00\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: hub\r\nAuthorization : secret\r\n\r\n",
        b"GET /jobs?sig=secret\x01 HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"PUT /devices/a HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
    ],
    ids=["null character", "blank", "address", "body"],
)
def test_nothing_of_malformed_requests_is_logged(
    hub: HubEmulator, request_text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host, port = hub.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(request_text)
        assert b" 400 " in connection.recv(65536)

    assert "secret" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(number: signal.Signals) -> None:
    code = "import sys; from iothub_emulator.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--port", "0", "--assume", "uri_echo=none", "--job-seconds", "0"]
    command = [sys.executable, "-c", code, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        connection_string = process.stdout.readline().rpartition(": ")[2].strip()
        assert HubClient(connection_string).send("GET", "/jobs").json() == []
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--assume", "weather=fine"], "weather"),
        (["--assume", "uri_echo"], "SWITCH=VALUE"),
        (["--state", __file__], __file__),
        (["--port", "99999"], "99999"),
        (["--job-seconds", "-3"], "-3"),
        (["--max-devices", "-3"], "-3"),
        (["--storage", "garbage"], "onnection string"),
    ],
)
def test_command_with_invalid_options(
    options: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0", *options])

    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_command_on_a_port_in_use(hub: HubEmulator, capsys: pytest.CaptureFixture[str]) -> None:
    port = hub.address.split(":")[1]
    with pytest.raises(SystemExit):
        main(["--port", port])

    assert "address already in use" in capsys.readouterr().err
