"""Parses trigger bindings and reports their problems."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import azure.functions as func

from local.host.conversion import SUPPORTED_ANNOTATIONS, is_supported
from local.host.errors import Problem
from local.host.keys import Level
from local.host.schedule import Schedule
from local.host.settings import (
    HOST_CONNECTION,
    connection_is_set,
    missing_references,
    resolve_references,
)
from local.host.triggers import (
    BlobPath,
    BlobSource,
    BlobTrigger,
    HttpTrigger,
    TimerTrigger,
    Trigger,
)

__all__ = ["BLOB_TRIGGER", "read_trigger"]

logger = logging.getLogger(__name__)

BLOB_TRIGGER: Final = "blobTrigger"

_ROUTE_SEGMENT: Final = re.compile(r"\{\*?[A-Za-z_]\w*\}|[^{}*]+")

Report = Callable[[str, str], None]


def read_trigger(
    function: str,
    binding: Mapping[str, Any],
    hints: Mapping[str, Any],
    settings: Mapping[str, str],
    problems: list[Problem],
) -> Trigger | None:
    """Return the trigger; None after adding to ``problems``, or if the function is disabled."""
    before = len(problems)

    def report(reason: str, remedy: str) -> None:
        problems.append(Problem(function, binding["name"], reason, remedy))

    trigger: Trigger | None
    match binding["type"]:
        case str(kind) if kind == BLOB_TRIGGER:
            trigger = _blob_trigger(binding, hints, settings, report)
        case "timerTrigger":
            trigger = _timer_trigger(function, binding, settings, report)
        case "httpTrigger":
            trigger = _http_trigger(binding, report)
        case other:
            trigger = None
            report(
                f"trigger type '{other}' is not supported by the local host",
                "use another trigger type",
            )
    return trigger if len(problems) == before else None


def _blob_trigger(
    binding: Mapping[str, Any],
    hints: Mapping[str, Any],
    settings: Mapping[str, str],
    report: Report,
) -> BlobTrigger | None:
    source = _blob_source(binding.get("source"), report)
    path = _blob_path(binding["path"], settings, report)
    connection = binding.get("connection") or HOST_CONNECTION
    if not connection_is_set(connection, settings):
        remedy = f"set {connection}, or {connection}__blobServiceUri and __queueServiceUri"
        report(f"connection '{connection}' has no app setting", remedy)
    annotation = hints.get(binding["name"])
    if not is_supported(annotation):
        type_name = getattr(annotation, "__name__", annotation)
        report(f"type {type_name} is not supported", f"annotate with {SUPPORTED_ANNOTATIONS}")
    if source is None or path is None or not isinstance(annotation, type):
        return None
    binary = binding.get("dataType") is func.DataType.BINARY
    return BlobTrigger(binding["name"], path, connection, source, annotation, binary)


def _blob_source(value: str | None, report: Report) -> BlobSource | None:
    try:
        return BlobSource(value or BlobSource.SCAN.value)
    except ValueError:
        report(f"unknown source '{value}'", "use a member of func.BlobSource")
        return None


def _blob_path(path: str, settings: Mapping[str, str], report: Report) -> BlobPath | None:
    resolved = _resolve(path, settings, report)
    if resolved is None:
        return None
    try:
        return BlobPath.parse(resolved)
    except ValueError as error:
        # Not the resolved path: a setting can contain a secret.
        report(f"path '{path}': {error}", 'write it as "container/{name}"')
        return None


def _timer_trigger(
    function: str, binding: Mapping[str, Any], settings: Mapping[str, str], report: Report
) -> TimerTrigger | None:
    expression = _resolve(binding["schedule"], settings, report)
    if expression is None:
        return None
    try:
        schedule = Schedule(expression)
    except ValueError as error:
        # As in Azure, the rest of the app runs. The value is not logged: it can be a secret that
        # was set in the wrong place.
        logger.error(
            "function '%s' is disabled, its schedule %s is invalid: %s",
            function,
            binding["schedule"],
            error,
        )
        return None
    return TimerTrigger(binding["name"], schedule, bool(binding.get("runOnStartup")))


def _http_trigger(binding: Mapping[str, Any], report: Report) -> HttpTrigger:
    route = str(binding["route"]).strip("/")
    for segment in route.split("/"):
        if segment and not _ROUTE_SEGMENT.fullmatch(segment):
            reason = f"route segment '{segment}' is not supported by the local host"
            report(reason, "use plain text, {name} or {*name} for a segment")
    methods = frozenset(str(method).upper() for method in binding.get("methods") or ())
    return HttpTrigger(binding["name"], route, methods, Level(binding["authLevel"].value))


def _resolve(text: str, settings: Mapping[str, str], report: Report) -> str | None:
    missing = missing_references(text, settings)
    for name in missing:
        report(f"'%{name}%' has no app setting", f"set {name}")
    return None if missing else resolve_references(text, settings)
