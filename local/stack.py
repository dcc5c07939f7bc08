"""The local stack as one object: Azurite, IoT Hub emulator, functions host and app."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self, get_args

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient
from pydantic import SecretStr

from iothub_emulator import HubEmulator
from local.azurite import Azurite
from local.cors import allow_uploads
from local.host import FunctionsHost, Keys, load_settings
from local.ports import Ports
from shared.settings import setting_groups

__all__ = ["SAMPLE_SETTINGS", "Stack", "StackError"]

ROOT = Path(__file__).parent.parent
SAMPLE_SETTINGS = ROOT / "local.settings.sample.json"


def _from_environment() -> dict[str, str]:
    """The app's settings that are set in the environment, without secrets."""
    fields = (field for group in setting_groups().values() for field in group.model_fields.values())
    names = (
        str(field.validation_alias)
        for field in fields
        if SecretStr not in (field.annotation, *get_args(field.annotation))
    )
    return {name: os.environ[name] for name in names if os.environ.get(name)}


class StackError(Exception):
    """The stack cannot run, or a part of it has ended; the message is for the developer."""


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
    state:
        Folder that keeps the data of storage and hub; None keeps it in memory.
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
        state: Path | None = None,
    ) -> None:
        self._ports = ports
        self._file_settings = {**load_settings(settings_file), **(changes or {})}
        self._job_seconds = job_seconds
        self._scan_interval = scan_interval
        self._run_app = run_app
        self._keys = keys
        self._state = state
        self._resources = ExitStack()
        self.settings: dict[str, str] = {}
        self.host: FunctionsHost | None = None

    def __enter__(self) -> Self:
        with self._resources as starting:
            ports, state = self._ports, self._state
            ports.check(with_app=self._run_app)
            self._azurite = starting.enter_context(
                Azurite(
                    blob_port=ports.blob,
                    queue_port=ports.queue,
                    table_port=ports.table,
                    location=state and state / "storage",
                )
            )
            storage = self._azurite.connection_string
            self.hub = starting.enter_context(
                HubEmulator(
                    port=ports.hub,
                    job_seconds=self._job_seconds,
                    identity_connection_string=storage,
                    state=state and state / "hub",
                )
            )
            self.settings = {
                **self._file_settings,
                "AzureWebJobsStorage": storage,
                "ImporterStorage": storage,
                "IOTHUB": self.hub.connection_string(),
            }
            self.blobs = starting.enter_context(BlobServiceClient.from_connection_string(storage))
            with suppress(ResourceExistsError):
                self.blobs.create_container(self.settings["UPLOAD_CONTAINER"])
            if self._run_app:
                self.host = starting.enter_context(self._start_app(ports.functions))
            address = self.host.address if self.host else f"http://127.0.0.1:{ports.functions}"
            allow_uploads(self.blobs, address, address.replace("127.0.0.1", "localhost"))
            # All are started: from now on, __exit__ stops them instead of this block.
            self._resources = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def check(self) -> None:
        """Check that storage and hub are running; a host that fails sets its `stopping`.

        Raises:
            StackError: one of them has ended.
        """
        if (status := self._azurite.exit_status) is not None:
            raise StackError(f"Azurite (storage) has ended unexpectedly, exit status {status}.")
        if not self.hub.is_running:
            raise StackError("The IoT Hub emulator has ended unexpectedly.")

    def write_settings(self, path: Path) -> None:
        """Write the settings of the app as a local.settings.json, for commands and other hosts.

        The app also reads the environment, so what is set there is included, but for secrets: those
        of events, which no command needs.
        """
        content = {"IsEncrypted": False, "Values": {**_from_environment(), **self.settings}}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

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
