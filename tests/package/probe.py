"""Report on the app as JSON, in an environment with only the app and its requirements."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from importlib.metadata import distributions, version
from typing import Any


def index() -> dict[str, Any]:
    """Find the functions as the worker does when it starts."""
    began = time.monotonic()
    app = importlib.import_module("function_app").app
    functions = {
        function.get_function_name(): [
            binding["type"] for binding in function.get_bindings_dict()["bindings"]
        ]
        for function in app.get_functions()
    }
    return {
        "functions": functions,
        "seconds": time.monotonic() - began,
        "modules": sorted(sys.modules),
        "library": version("azure-functions"),
    }


def import_all(package: str) -> dict[str, str | None]:
    """Import each module; returns the missing dependency of each, or None."""
    missing: dict[str, str | None] = {}
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing[module.name] = error.name
        else:
            missing[module.name] = None
    return missing


if __name__ == "__main__":
    installed = {distribution.name: distribution.version for distribution in distributions()}
    report = {"installed": installed, **index(), "imported": import_all("shared")}
    json.dump(report, sys.stdout)
