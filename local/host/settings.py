"""App settings with %NAME% references and storage connections, and host.json."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.host.errors import SettingsError

__all__ = [
    "HOST_CONNECTION",
    "HostConfig",
    "connection_is_set",
    "load_settings",
    "missing_references",
    "read_json",
    "resolve_references",
]

#: The connection of the host, and the default of triggers.
HOST_CONNECTION: Final = "AzureWebJobsStorage"

#: Prefix of app settings that override host.json (learn: "host.json reference").
_OVERRIDE: Final = "AzureFunctionsJobHost"
_REFERENCE: Final = re.compile(r"%([^%]+)%")
_IDENTITY_SUFFIXES: Final = ("__blobServiceUri", "__serviceUri", "__accountName")


def load_settings(path: Path) -> dict[str, str]:
    """Read the ``Values`` of a local.settings.json (Core Tools, "Local settings file")."""
    content = read_json(path)
    if content.get("IsEncrypted"):
        raise SettingsError(
            f"{path}: encrypted settings are not supported, run: func settings decrypt"
        )
    values = content.get("Values")
    if not isinstance(values, dict):
        raise SettingsError(f'{path}: the object "Values" is required')
    wrong = sorted(name for name, value in values.items() if not isinstance(value, str))
    if wrong:
        raise SettingsError(
            f"{path}: values must be strings, put quotes around: {', '.join(wrong)}"
        )
    return dict(values)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; SettingsError names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(
            f"{path}: not valid JSON (comments are not allowed): {error}"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: not a JSON object")
    return content


def missing_references(text: str, settings: Mapping[str, str]) -> list[str]:
    """Names between percent signs in ``text`` that are not app settings."""
    return [name for name in _REFERENCE.findall(text) if name not in settings]


def resolve_references(text: str, settings: Mapping[str, str]) -> str:
    """Replace each %NAME% with the app setting (Azure Functions, "binding expressions")."""
    return _REFERENCE.sub(lambda match: settings[match[1]], text)


def connection_is_set(name: str, settings: Mapping[str, str]) -> bool:
    """Whether a connection exists, as a setting or as the prefix of an identity-based one."""
    return bool(settings.get(name)) or any(
        settings.get(name + suffix) for suffix in _IDENTITY_SUFFIXES
    )


@dataclass(frozen=True)
class HostConfig:
    """The supported values of host.json, with the defaults of blobs extension 5.x."""

    #: Whether there is an extension bundle, which storage bindings require.
    has_extension_bundle: bool
    #: First segment of every HTTP route.
    route_prefix: str
    #: Blob functions that run at the same time.
    max_degree_of_parallelism: int
    #: Attempts before a message is moved to the poison queue.
    poison_blob_threshold: int

    @classmethod
    def load(cls, source: Path | Mapping[str, Any], settings: Mapping[str, str]) -> HostConfig:
        """Read from a host.json file or its content, and from app settings that override it."""
        content = read_json(source) if isinstance(source, Path) else copy.deepcopy(dict(source))
        for name, value in settings.items():
            prefix, *path = name.split("__")
            if prefix == _OVERRIDE and path:
                section = content
                for key in path[:-1]:
                    section = section.setdefault(key, {})
                section[path[-1]] = value
        bundle = content.get("extensionBundle", {})
        extensions = content.get("extensions", {})
        blobs = extensions.get("blobs", {})
        return cls(
            has_extension_bundle=bool(bundle.get("id") and bundle.get("version")),
            route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
            max_degree_of_parallelism=max(
                1, int(blobs.get("maxDegreeOfParallelism", 8 * (os.cpu_count() or 1)))
            ),
            poison_blob_threshold=max(1, int(blobs.get("poisonBlobThreshold", 5))),
        )
