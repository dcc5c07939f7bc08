"""From the settings to the storage account, for as long as a command takes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport

from cli.errors import UnreachableError, UsageError
from shared.connections import STORAGE_CONNECTION
from shared.errors import SettingsError
from shared.imports.app import Importer
from shared.logs import LIBRARIES, redact_libraries
from shared.settings import Settings, load_settings
from shared.transport import pooled_transport

__all__ = ["connected", "read_settings"]

LOCAL_SETTINGS = Path("local.settings.json")

#: Seconds until a host that does not answer counts as out of reach; the SDK's own are 300.
CONNECT_TIMEOUT = 10

EVENTS_URL = "EVENTS_URL"

#: How settings begin that are references, as the file of an app in Azure has them.
_KEY_VAULT = "@Microsoft.KeyVault("


@contextlib.contextmanager
def connected(settings_file: str | None) -> Iterator[Importer]:
    """An importer of this machine; it is only read from and written with, never ticked.

    Raises:
        UsageError: the settings are not right.
    """
    settings = read_settings(settings_file)
    # What the libraries log is for the app; python would write their warnings to stderr.
    for name in (*LIBRARIES, "shared"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    redact_libraries()
    importer = Importer(settings, transport=_transport)
    try:
        yield importer
    finally:
        importer.close()


def read_settings(settings_file: str | None) -> Settings:
    """The settings from the environment; what is not there, from a file.

    Args:
        settings_file: which one; None is `local.settings.json` in the current folder, if any.

    Raises:
        UsageError: they are not right, or the file is not.
    """
    path = Path(settings_file) if settings_file else LOCAL_SETTINGS
    is_there = path.exists()
    if settings_file and not is_there:
        raise UsageError(f"There is no settings file {settings_file}.")
    values = _read(path) if is_there else {}
    usable = {name: value for name, value in values.items() if not value.startswith(_KEY_VAULT)}
    if EVENTS_URL in values.keys() - usable.keys():
        # An import that ends here leaves its event to the app: it matters only that there is one.
        usable[EVENTS_URL] = "https://known-to-the-app.invalid"
    try:
        with _added_to_environment(usable):
            settings = load_settings()
    except SettingsError as error:
        found = "was read" if is_there else "does not exist"
        left_out = _left_out(values.keys() - usable.keys())
        raise UsageError(
            f"{error}\nSettings are taken from the environment, and what is not there from "
            f"{path}, which {found}; --settings names another file. For an app in Azure, "
            f"`func azure functionapp fetch-app-settings APP` writes one.{left_out}"
        ) from None
    if settings.is_in_azure:
        return settings
    # An identity of the app works in Azure only: at a shell it is the person's own.
    identity = {"credential": None, "client_id": None}
    return replace(
        settings,
        storage=settings.storage.model_copy(
            update={"connection": settings.storage.connection.model_copy(update=identity)}
        ),
    )


def _read(path: Path) -> Mapping[str, str]:
    try:
        content: Any = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON.") from None
    values = content.get("Values") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise UsageError(f'{path} has no object "Values".')
    if content.get("IsEncrypted"):
        raise UsageError(f"{path} is encrypted: run `func settings decrypt` in its folder.")
    return {name: str(value) for name, value in values.items() if value is not None}


def _left_out(references: Collection[str]) -> str:
    if not references:
        return ""
    return (
        f" Its {', '.join(sorted(references))} was left out: only the app can follow a reference "
        "to a key vault. Put the value in the environment."
    )


@contextlib.contextmanager
def _added_to_environment(values: Mapping[str, str]) -> Iterator[None]:
    """For the time of the block; what the environment says itself is left as it is."""
    before = {name: os.environ.get(name) for name in values if not _is_told(name)}
    os.environ.update({name: values[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _is_told(name: str) -> bool:
    """Whether the environment has the setting; the storage connection counts as one."""
    if os.environ.get(name):
        return True
    family = f"{STORAGE_CONNECTION}__"
    if not f"{name}__".startswith(family):
        return False
    return any(value and f"{other}__".startswith(family) for other, value in os.environ.items())


class _Transport(RequestsTransport):  # type: ignore[misc]
    """Tells at once that a host cannot be reached: the SDK would try for half a minute."""

    def send(self, request: Any, **options: Any) -> Any:
        try:
            return super().send(request, **options)
        except ServiceRequestError as error:
            raise UnreachableError(urlsplit(request.url).netloc, _why(error)) from error


def _transport() -> RequestsTransport:
    return _Transport(session=pooled_transport().session, connection_timeout=CONNECT_TIMEOUT)


def _why(error: ServiceRequestError) -> str:
    text = str(error)
    if found := re.search(r"\[Errno -?[0-9]+\] ([A-Za-z ,]+)", text):
        return found[1].lower().strip()
    if found := re.search(r"certificate verify failed: ([a-z -]+)", text):
        return f"certificate: {found[1].strip()}"
    return "no answer in time" if "timed out" in text else "no connection"
