"""The importer that a command works with: settings, connection to the storage account, errors."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport

from cli.errors import UsageError
from cli.storage_errors import UnreachableError, command_error
from shared.connections import STORAGE_CONNECTION
from shared.errors import SettingsError, cause_of
from shared.imports.app import Importer
from shared.logs import LIBRARIES, redact_libraries
from shared.settings import Settings, load_settings
from shared.transport import pooled_transport

__all__ = ["connected", "read_settings"]

DEFAULT_SETTINGS_FILE = Path("local.settings.json")

#: Seconds; the SDK's default is 300.
CONNECT_TIMEOUT = 10

EVENTS_URL = "EVENTS_URL"

_KEY_VAULT_REFERENCE = "@Microsoft.KeyVault("


@contextmanager
def connected(settings_file: str | None) -> Iterator[Importer]:
    """Open an importer, for reading and for operators' actions; nothing calls its ticks.

    Raises:
        CommandError: the settings are invalid, or an expected error ended the block.
    """
    settings = read_settings(settings_file)
    # Without handlers, Python writes the libraries' warnings to stderr.
    for name in (*LIBRARIES, "shared"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    redact_libraries()
    try:
        hubs = frozenset(hub.host_name for hub in settings.hub.routes.by_folder.values())
        transport = functools.partial(_transport, hubs)
        with closing(Importer(settings, transport=transport)) as importer:
            yield importer
    except Exception as error:
        explained = command_error(error)
        if explained is None or explained is error:
            raise
        raise explained from error


def read_settings(settings_file: str | None) -> Settings:
    """Read the settings from the environment and, where it lacks one, from a file.

    Args:
        settings_file: path; None: `local.settings.json` in the current folder, if it exists.

    Raises:
        UsageError: the settings or the file are invalid.
    """
    path = Path(settings_file) if settings_file else DEFAULT_SETTINGS_FILE
    exists = path.exists()
    if settings_file and not exists:
        raise UsageError(f"The settings file {settings_file} does not exist.")
    values = _read(path) if exists else {}
    usable = {
        name: value for name, value in values.items() if not value.startswith(_KEY_VAULT_REFERENCE)
    }
    if EVENTS_URL in values.keys() - usable.keys():
        # The app sends the events; the settings need only show that there is a receiver.
        usable[EVENTS_URL] = "https://known-to-the-app.invalid"
    try:
        with _added_to_environment(usable):
            settings = load_settings()
    except SettingsError as error:
        place = f"{path}" if exists else f"{path} (which does not exist)"
        raise UsageError(
            f"{error}\nThe command needs the settings of the function app: in environment "
            f"variables, in {place} or in another file (--settings FILE). "
            f"`func azure functionapp fetch-app-settings APP` writes the file."
            f"{_ignored_references(values.keys() - usable.keys())}"
        ) from None
    if settings.is_in_azure:
        return settings
    # The managed identities exist only in Azure; here the operator's own sign-in is used.
    identity = {"credential": None, "client_id": None}
    return replace(
        settings,
        storage=settings.storage.model_copy(
            update={"connection": settings.storage.connection.model_copy(update=identity)}
        ),
        hub=settings.hub.model_copy(update={"client_id": None}),
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
        raise UsageError(f'{path} must contain an object "Values".')
    if content.get("IsEncrypted"):
        raise UsageError(f"{path} is encrypted. Run `func settings decrypt` in its folder.")
    return {name: str(value) for name, value in values.items() if value is not None}


def _ignored_references(names: Collection[str]) -> str:
    if not names:
        return ""
    return (
        f" {', '.join(sorted(names))} was ignored: only the app can resolve a Key Vault reference. "
        "Set the value in the environment."
    )


@contextmanager
def _added_to_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Add variables that the environment does not set, until the end of the block."""
    before = {name: os.environ.get(name) for name in values if not _is_set(name)}
    os.environ.update({name: values[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _is_set(name: str) -> bool:
    """Whether the environment has the setting; all of the storage connection count as one."""
    if os.environ.get(name):
        return True
    prefix = f"{STORAGE_CONNECTION}__"
    if not f"{name}__".startswith(prefix):
        return False
    return any(value and f"{other}__".startswith(prefix) for other, value in os.environ.items())


class _Transport(RequestsTransport):  # type: ignore[misc]
    """Fails at once if storage cannot be reached: the SDK would retry for half a minute."""

    def __init__(self, hubs: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        self._hubs = hubs

    def send(self, request: Any, **options: Any) -> Any:
        try:
            return super().send(request, **options)
        except ServiceRequestError as error:
            host = urlsplit(request.url).netloc
            if host in self._hubs:
                # The hub's client does not retry, and its callers know what to do.
                raise
            raise UnreachableError(host, cause_of(error) or "no connection") from error


def _transport(hubs: Collection[str]) -> RequestsTransport:
    session = pooled_transport().session
    return _Transport(hubs, session=session, connection_timeout=CONNECT_TIMEOUT)
