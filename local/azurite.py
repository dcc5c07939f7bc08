"""Runs Azurite, Microsoft's storage emulator, as a child process."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import queue
import re
import shutil
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ACCOUNT_KEY", "ACCOUNT_NAME", "Azurite", "AzuriteError", "Tls"]

#: The account that every Azurite has, with its public key (Azurite, "Default Storage Account").
ACCOUNT_NAME: Final = "devstoreaccount1"
ACCOUNT_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

_ENTRY_POINT: Final = Path(__file__).parent / "node_modules/azurite/dist/src/azurite.js"
_INSTALL: Final = "npm ci --prefix local"
_HOST: Final = "127.0.0.1"
_SERVICES: Final = ("Blob", "Queue", "Table")
_LISTENING: Final = re.compile(r"Azurite (\w+) service is successfully listening at \S+:(\d+)")
_STOP_DEADLINE: Final = 5.0  # seconds from terminate to kill

# Azurite would survive a killed parent; with this it stops when its stdin, our pipe, closes.
_END_WITH_PARENT: Final = (
    "data:text/javascript,process.stdin.resume().unref();"
    'process.stdin.on("end",()=>{process.kill(process.pid,"SIGTERM");'
    "setTimeout(()=>process.exit(),5000).unref()})"
)


class AzuriteError(Exception):
    """Azurite cannot run; the message contains the remedy."""


@dataclass(frozen=True)
class Tls:
    """PEM files: a certificate for 127.0.0.1, its key, and the certificate of its CA."""

    certificate: Path
    key: Path
    authority: Path


class Azurite:
    """An Azurite process with blob, queue and table services on loopback ports.

    Parameters
    ----------
    blob_port, queue_port, table_port:
        0 for any free port.
    location:
        Folder for the data; default: in memory.
    start_deadline:
        Seconds until all services must answer.
    tls:
        Serve HTTPS and accept Entra ID tokens (`--oauth basic`: any well-formed token for storage).
    """

    def __init__(
        self,
        *,
        blob_port: int = 0,
        queue_port: int = 0,
        table_port: int = 0,
        location: Path | None = None,
        start_deadline: float = 30.0,
        tls: Tls | None = None,
    ) -> None:
        self._tls = tls
        self._scheme = "https" if tls else "http"
        self._wanted = dict(zip(_SERVICES, (blob_port, queue_port, table_port), strict=True))
        self._location = location
        self._start_deadline = start_deadline
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def endpoints(self) -> dict[str, str]:
        """The URLs of the services by name: Blob, Queue, Table."""
        if not self._ports:
            raise AzuriteError("Azurite is not running: call start() first")
        return {
            service: f"{self._scheme}://{_HOST}:{port}/{ACCOUNT_NAME}"
            for service, port in self._ports.items()
        }

    @property
    def connection_string(self) -> str:
        """Connection string for SDKs and app settings."""
        endpoints = "".join(
            f"{service}Endpoint={address};" for service, address in self.endpoints.items()
        )
        return (
            f"DefaultEndpointsProtocol={self._scheme};AccountName={ACCOUNT_NAME};"
            f"AccountKey={ACCOUNT_KEY};{endpoints}"
        )

    @property
    def exit_status(self) -> int | None:
        """Exit status of a process that has ended by itself, negative for a signal; else None."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process and wait until all services answer; AzuriteError if they do not."""
        if self._process is not None:
            return
        process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._process = process
        atexit.register(self.stop)
        output: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=_pump, args=(process, output), name="azurite-output", daemon=True
        )
        self._reader.start()
        try:
            self._ports = self._await_services(output)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the process and close its pipes; no effect if it is not running."""
        process, self._process = self._process, None
        self._ports = {}
        if process is None:
            return
        atexit.unregister(self.stop)
        process.terminate()
        try:
            process.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Azurite:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise AzuriteError(
                f"node is not on the PATH: install Node.js 20 or later and run {_INSTALL}"
            )
        if not _ENTRY_POINT.is_file():
            raise AzuriteError(f"Azurite is not installed: run {_INSTALL}")
        command = [node, "--import", _END_WITH_PARENT, str(_ENTRY_POINT)]
        # The storage SDKs use newer API versions than Azurite accepts by default.
        command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        for service, port in self._wanted.items():
            name = service.lower()
            command += [f"--{name}Host", _HOST, f"--{name}Port", str(port)]
        if self._tls is not None:
            command += ["--oauth", "basic"]
            command += ["--cert", str(self._tls.certificate), "--key", str(self._tls.key)]
        if self._location is None:
            return [*command, "--inMemoryPersistence"]
        return [*command, "--location", str(self._location)]

    def _await_services(self, output: queue.SimpleQueue[str | None]) -> dict[str, int]:
        deadline = time.monotonic() + self._start_deadline
        ports: dict[str, int] = {}
        lines: list[str] = []
        while len(ports) < len(_SERVICES):
            try:
                line = output.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AzuriteError(
                    f"Azurite did not start within {self._start_deadline:g} s; its output: "
                    + _quoted(lines)
                ) from None
            if line is None:
                raise AzuriteError(_exit_reason(lines))
            lines.append(line)
            if listening := _LISTENING.search(line):
                ports[listening[1]] = int(listening[2])
        for port in ports.values():
            _await_answer(port, deadline, self._tls)
        return ports


def _pump(process: subprocess.Popen[str], output: queue.SimpleQueue[str | None]) -> None:
    """Read all output, so that a full pipe cannot block the process; None marks the end."""
    assert process.stdout is not None
    for line in process.stdout:
        output.put(line)
    output.put(None)


def _await_answer(port: int, deadline: float, tls: Tls | None) -> None:
    """Wait for an answer; any HTTP status is accepted, as the request has no signature."""
    while True:
        connection = (
            http.client.HTTPSConnection(
                _HOST, port, timeout=2, context=ssl.create_default_context(cafile=tls.authority)
            )
            if tls
            else http.client.HTTPConnection(_HOST, port, timeout=2)
        )
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise AzuriteError(f"Azurite listens on port {port} but does not answer") from error
            time.sleep(0.05)
        finally:
            connection.close()


def _exit_reason(lines: list[str]) -> str:
    text = "".join(lines)
    if "EADDRINUSE" in text:
        address = re.search(r"address already in use (\S+)", text)
        where = address[1] if address else "one of its ports"
        return f"{where} is in use: stop the other process, such as another Azurite"
    return f"Azurite exited immediately; its output: {_quoted(lines)}"


def _quoted(lines: list[str]) -> str:
    return " | ".join(line.strip() for line in lines[-5:]) or "nothing"
