"""The local stack as one object: Azurite, IoT Hub emulator, functions host and app."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from azure.storage.blob import BlobServiceClient

from iothub_emulator import HubEmulator
from local.azurite import Azurite
from local.host import FunctionsHost, Keys, load_settings

__all__ = ["SAMPLE_SETTINGS", "Ports", "Stack"]

ROOT = Path(__file__).parent.parent
SAMPLE_SETTINGS = ROOT / "local.settings.sample.json"


@dataclass(frozen=True)
class Ports:
    """Loopback ports; 0 for any free port. The defaults match the sample settings."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002
    hub: int = 8081
    functions: int = 7071

    @classmethod
    def any_free(cls) -> Self:
        return cls(0, 0, 0, 0, 0)


class Stack:
    """Starts storage, hub and app; stops them at the end of the context.

    Parameters
    ----------
    settings_file:
        Settings of the app; the stack replaces those of storage and hub.
    changes:
        Settings that replace those of the file.
    run_app:
        False if another host runs the app, such as Core Tools.
    keys:
        Keys that callers of the app need; None if they need none.
    """

    def __init__(
        self,
        *,
        ports: Ports,
        settings_file: Path = SAMPLE_SETTINGS,
        changes: Mapping[str, str] | None = None,
        job_seconds: float = 2.0,
        scan_interval: float = 2.0,
        run_app: bool = True,
        keys: Keys | None = None,
    ) -> None:
        self._ports = ports
        self._file_settings = {**load_settings(settings_file), **(changes or {})}
        self._job_seconds = job_seconds
        self._scan_interval = scan_interval
        self._run_app = run_app
        self._keys = keys
        self._resources = ExitStack()
        self.settings: dict[str, str] = {}
        self.host: FunctionsHost | None = None

    def __enter__(self) -> Self:
        with self._resources as starting:
            ports = self._ports
            azurite = starting.enter_context(
                Azurite(blob_port=ports.blob, queue_port=ports.queue, table_port=ports.table)
            )
            storage = azurite.connection_string
            self.hub = starting.enter_context(
                HubEmulator(
                    port=ports.hub,
                    job_seconds=self._job_seconds,
                    identity_connection_string=storage,
                )
            )
            self.settings = {
                **self._file_settings,
                "AzureWebJobsStorage": storage,
                "ImporterStorage": storage,
                "IOTHUB": self.hub.connection_string(),
            }
            self.blobs = starting.enter_context(BlobServiceClient.from_connection_string(storage))
            self.blobs.create_container(self.settings["UPLOAD_CONTAINER"])
            if self._run_app:
                self.host = starting.enter_context(self._start_app(ports.functions))
            # All are started: from now on, __exit__ stops them instead of this block.
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def change_settings(self, **changes: str) -> None:
        """Change settings of the app, as a deployment does."""
        self.settings |= changes
        os.environ.update(changes)
        importlib.import_module("shared.imports.app").forget_importer()

    def _start_app(self, port: int) -> FunctionsHost:
        # The app and its bindings read the environment, as in Azure.
        os.environ.update(self.settings)
        function_app = importlib.import_module("function_app")
        return FunctionsHost(
            function_app.app,
            self.settings,
            ROOT / "host.json",
            scan_interval=self._scan_interval,
            port=port,
            keys=self._keys,
        )
