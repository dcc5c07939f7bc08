"""Writes settings.md from the Settings class: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from shared.connections import STORAGE_CONNECTION, StorageConnection
from shared.settings import Settings

PAGE = Path(__file__).parents[1] / "docs/settings.md"

#: Azure sets it itself.
NOT_FOR_PEOPLE = {"WEBSITE_INSTANCE_ID"}

TOPICS = {
    "Storage and hub": (
        STORAGE_CONNECTION,
        "IOTHUB",
        "IOTHUB_CLIENT_ID",
        "IOTHUB_API_VERSION",
        "JOB_STORAGE_AUTHENTICATION",
        "JOB_STORAGE_IDENTITY",
        "SAS_LIFETIME_HOURS",
        "IMPORTS_TABLE",
    ),
    "Uploads": (
        "UPLOAD_CONTAINER",
        "UPLOAD_TRIGGER_SOURCE",
    ),
    "Validation": (
        "VALIDATION_POLICY",
        "MAX_DELETES",
        "MAX_DELETE_SHARE",
        "MAX_DEVICES",
        "MAX_FILE_BYTES",
        "MAX_LINE_BYTES",
        "MAX_EXPANSION",
        "MAX_REPORTED_PROBLEMS",
        "CSV_DEFAULT_STATUS",
        "CSV_DEFAULT_IMPORT_MODE",
    ),
    "Timers": (
        "POLL_SCHEDULE",
        "SWEEP_SCHEDULE",
        "TICK_SECONDS",
        "JOB_POLL_SECONDS",
    ),
    "Patience": (
        "MAX_ATTEMPTS",
        "LEASE_SECONDS",
        "BACKOFF_SECONDS",
        "MAX_BACKOFF_SECONDS",
        "REFUSAL_DEADLINE_MINUTES",
        "JOB_DEADLINE_HOURS",
        "VERIFY_FAILED_DEVICES",
    ),
    "Retention": (
        "IMPORT_RETENTION_DAYS",
        "RECORD_RETENTION_DAYS",
        "UPLOAD_RETENTION",
        "UPLOAD_ARCHIVE_CONTAINER",
    ),
    "What others see": (
        "HTTP_ENDPOINTS",
        "EVENTS_URL",
        "EVENTS_KEY",
        "EVENTS_DEADLINE_HOURS",
        "AzureFunctionsJobHost__telemetryMode",
    ),
}

HEAD = """\
# Settings

App settings of the function app; on the local stack, `Values` of `local.settings.json`. Each
change restarts the app, which harms no import. Everything that is wrong with them is told at once,
by name, in the log of each invocation and by `GET /api/health`.

This page is made from `shared/settings.py` by `make docs`.
"""

#: What the Functions host reads, and not the importer.
PLATFORM = {
    "`AzureWebJobsStorage__blobServiceUri`, `AzureWebJobsStorage__queueServiceUri`, "
    "`AzureWebJobsStorage__tableServiceUri`": "endpoints of the host's own storage account",
    "`AzureWebJobsStorage__credential`, `AzureWebJobsStorage__clientId`": "`managedidentity` and "
    "the client id of the user-assigned identity",
    "`APPLICATIONINSIGHTS_CONNECTION_STRING`": "connection string of the Application Insights "
    "resource",
    "`APPLICATIONINSIGHTS_AUTHENTICATION_STRING`": "`ClientId=…;Authorization=AAD`: by identity, "
    "not by key",
    "`PYTHON_ENABLE_OPENTELEMETRY`": "`true`, with telemetryMode `OpenTelemetry`: log lines come "
    "from the app itself",
    "`FUNCTIONS_WORKER_RUNTIME`": "`python`, in `local.settings.json` only: Flex Consumption takes "
    "it from its configuration",
}


def described() -> set[str]:
    """The names of all settings that the page describes, those of the platform aside."""
    return {
        name
        for alias in _fields()
        for name in (alias, *(f"{alias}__{member}" for member, _ in _members(alias)))
    }


def page() -> str:
    """The whole of settings.md."""
    fields = _fields()
    parts = [HEAD]
    for topic, names in TOPICS.items():
        rows = (row for name in names for row in _rows(name, fields.pop(name)))
        parts.append(
            f"\n## {topic}\n\n| Setting | Default | What to put there |\n|---|---|---|\n"
            + "".join(rows)
        )
    if fields:
        raise LookupError(f"TOPICS lacks {', '.join(fields)}")
    parts.append("\n## Of the platform\n\n| Setting | What to put there |\n|---|---|\n")
    parts.extend(f"| {names} | {text} |\n" for names, text in PLATFORM.items())
    return "".join(parts)


def _fields() -> dict[str, FieldInfo]:
    aliases = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    return {name: field for name, field in aliases.items() if name not in NOT_FOR_PEOPLE}


def _members(alias: str) -> Iterator[tuple[str, FieldInfo]]:
    """What a connection may consist of instead of its connection string."""
    if alias == STORAGE_CONNECTION:
        for name, field in StorageConnection.model_fields.items():
            if field.description:
                yield field.alias or name, field


def _rows(name: str, field: FieldInfo) -> Iterator[str]:
    default = field.get_default()
    told = "needed" if field.is_required() else f"`{default}`" if default not in (None, "") else ""
    yield f"| `{name}` | {told} | {_escaped(field.description)} |\n"
    for member, part in _members(name):
        yield f"| `{name}__{member}` | | {part.description} |\n"


def _escaped(text: str | None) -> str:
    return str(text).replace("*", r"\*").replace("<", "&lt;")
