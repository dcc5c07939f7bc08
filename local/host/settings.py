"""App settings: the local settings file, %NAME% references and storage connections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local.host.errors import SettingsError

__all__ = [
    "HOST_CONNECTION",
    "connection_is_set",
    "load_settings",
    "missing_references",
    "read_json",
    "resolve_references",
]

#: The connection that the host itself works with, and the default of every trigger.
HOST_CONNECTION: Final = "AzureWebJobsStorage"

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
        raise SettingsError(f'{path}: no object "Values" in it')
    wrong = sorted(name for name, value in values.items() if not isinstance(value, str))
    if wrong:
        raise SettingsError(
            f"{path}: values must be strings, put quotes around: {', '.join(wrong)}"
        )
    return dict(values)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; every error names the file."""
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
    """Names between percent signs in ``text`` which are not app settings."""
    return [name for name in _REFERENCE.findall(text) if name not in settings]


def resolve_references(text: str, settings: Mapping[str, str]) -> str:
    """Replace each %NAME% by the app setting (Azure Functions, "binding expressions")."""
    return _REFERENCE.sub(lambda match: settings[match[1]], text)


def connection_is_set(name: str, settings: Mapping[str, str]) -> bool:
    """Whether a connection exists: as one setting, or as a prefix for an identity-based one."""
    return bool(settings.get(name)) or any(
        settings.get(name + suffix) for suffix in _IDENTITY_SUFFIXES
    )
