"""A small Azure Functions host: runs an app by the triggers of its decorators."""

from __future__ import annotations

from local.host.errors import HostError, IndexingError, Problem, SettingsError, UsageError
from local.host.host import FunctionsHost
from local.host.keys import Keys
from local.host.settings import load_settings

__all__ = [
    "FunctionsHost",
    "HostError",
    "IndexingError",
    "Keys",
    "Problem",
    "SettingsError",
    "UsageError",
    "load_settings",
]
