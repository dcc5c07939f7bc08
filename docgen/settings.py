"""Generate docs/settings.md from the declarations in shared/settings.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from shared.connections import STORAGE_CONNECTION, StorageConnection
from shared.settings import allowed_values, setting_groups

PAGE = Path(__file__).parents[1] / "docs/settings.md"

HEAD = """\
# Settings

App settings of the function app; on the local stack, `Values` of `local.settings.json`. A change
restarts the app and does not interrupt imports. All invalid settings are reported together, by
name, in the log of each invocation and by `GET /api/health`.

`make docs` generates this page from `shared/settings.py`.
"""

#: Settings of the Functions host.
PLATFORM = {
    "`AzureWebJobsStorage__blobServiceUri`, `AzureWebJobsStorage__queueServiceUri`, "
    "`AzureWebJobsStorage__tableServiceUri`": "Endpoints of the host's own storage account.",
    "`AzureWebJobsStorage__credential`, `AzureWebJobsStorage__clientId`": "`managedidentity` and "
    "the client id of the user-assigned identity.",
    "`APPLICATIONINSIGHTS_CONNECTION_STRING`": "Connection string of the Application Insights "
    "resource.",
    "`APPLICATIONINSIGHTS_AUTHENTICATION_STRING`": "`ClientId=…;Authorization=AAD` for access with "
    "an identity instead of a key.",
    "`PYTHON_ENABLE_OPENTELEMETRY`": "`true` with telemetryMode `OpenTelemetry`: the app sends its "
    "log lines itself.",
    "`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`": "Bytes of the largest request; the host answers "
    "a larger one with 500. The app itself refuses files above 32 MiB.",
    "`AzureFunctionsJobHost__extensions__http__maxConcurrentRequests`": "Requests at a time per "
    "instance; overrides host.json.",
    "`FUNCTIONS_WORKER_RUNTIME`": "`python`, in `local.settings.json` only. In Azure, it is part "
    "of the configuration of Flex Consumption.",
}


def described() -> set[str]:
    """The names of all settings on the page except those of the platform."""
    return {
        name
        for group in setting_groups().values()
        for field in group.model_fields.values()
        for name, _ in (_named(field), *_members(field))
    }


def page() -> str:
    """The content of docs/settings.md."""
    parts = [HEAD]
    for group in setting_groups().values():
        parts.append(
            f"\n## {group.__doc__}\n\n| Setting | Default | Values | Description |\n"
            "|---|---|---|---|\n"
        )
        for field in group.model_fields.values():
            parts.extend(_rows(field))
    parts.append("\n## Platform\n\n| Setting | Description |\n|---|---|\n")
    parts.extend(f"| {names} | {text} |\n" for names, text in PLATFORM.items())
    return "".join(parts)


def _named(field: FieldInfo) -> tuple[str, FieldInfo]:
    return str(field.validation_alias), field


def _members(field: FieldInfo) -> Iterator[tuple[str, FieldInfo]]:
    """The settings that replace a storage connection string."""
    if field.validation_alias == STORAGE_CONNECTION:
        for name, member in StorageConnection.model_fields.items():
            if member.description:
                yield f"{STORAGE_CONNECTION}__{member.alias or name}", member


def _rows(field: FieldInfo) -> Iterator[str]:
    name, _ = _named(field)
    default = field.get_default()
    shown = (
        "required" if field.is_required() else f"`{default}`" if default not in (None, "") else ""
    )
    yield (
        f"| `{name}` | {shown} | {_escaped(allowed_values(field))} | "
        f"{_escaped(str(field.description))} |\n"
    )
    for member, part in _members(field):
        yield f"| `{member}` | | | {part.description} |\n"


def _escaped(text: str) -> str:
    return text.replace("*", r"\*").replace("<", "&lt;")
