"""The app's settings: read once from the environment, in one group per topic.

Each setting is declared in one place, with its default, unit, allowed values and reason.
`make docs` writes docs/settings.md from these declarations.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from shared.connections import (
    HUB_DEADLINE,
    STORAGE_CONNECTION,
    HubRoutes,
    StorageConnection,
    parse_hubs,
)
from shared.device_files.limits import Limits
from shared.device_files.lines.values import ImportMode
from shared.device_files.validation_report import Policy
from shared.errors import SettingsError
from shared.schedules import NEVER, Schedule

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = [
    "DEFAULT_POLL_SCHEDULE",
    "DEFAULT_SWEEP_SCHEDULE",
    "MIN_LEASE_SECONDS",
    "TELEMETRY_MODE",
    "HttpEndpoints",
    "Safeguard",
    "Settings",
    "TelemetryMode",
    "TriggerSource",
    "UploadRetention",
    "allowed_values",
    "load_settings",
    "setting_groups",
]

#: Every 30 seconds.
DEFAULT_POLL_SCHEDULE = "*/30 * * * * *"
#: Every 5 minutes.
DEFAULT_SWEEP_SCHEDULE = "0 */5 * * * *"

#: Overrides telemetryMode of host.json (learn: "host.json reference", overriding values).
TELEMETRY_MODE = "AzureFunctionsJobHost__telemetryMode"

HttpEndpoints = Literal["all", "api", "none"]
TelemetryMode = Literal["ApplicationInsights", "OpenTelemetry"]
TriggerSource = Literal["EventGrid", "LogsAndContainerScan"]
UploadRetention = Literal["keep", "delete", "move"]
#: Which imports a safeguard is for.
Safeguard = Literal["never", "destructive", "always"]

#: Minimum days that a record is kept: events are repeated for days, and an upload whose record is
#: deleted would be imported as a new one.
MIN_RECORD_RETENTION = 30

#: A lease must outlast a call to a hub. Otherwise a second process takes over the import during it.
MIN_LEASE_SECONDS = HUB_DEADLINE + 10

_LIMITS = Limits()

#: The type of an error that concerns two settings. Its message contains problem and remedy.
_CONTRADICTION = "contradiction"


def _setting(
    name: str, default: Any, values: str | None, description: str, **constraints: Any
) -> Any:
    """Declare a setting.

    Args:
        name: of the environment variable.
        default: `...` if the setting is required.
        values: what is allowed; None for the members of a Literal.
    """
    return Field(
        default,
        validation_alias=name,
        description=description,
        json_schema_extra={"values": values},
        **constraints,
    )


def _number(name: str, default: Any, values: str, description: str) -> Any:
    """Declare a number with bounds: `1 to 60 seconds`."""
    low, _, high, *_ = values.split()
    return _setting(name, default, values, description, ge=float(low), le=float(high))


def _contradiction(message: str) -> PydanticCustomError:
    return PydanticCustomError(_CONTRADICTION, "{message}", {"message": message})


def _parse_schedule(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    schedule = Schedule.parse(value)
    if schedule.next(datetime.now(UTC)) == NEVER:
        raise ValueError("is a schedule that never runs, because its dates do not exist")
    return schedule


_CONTAINER = "3 to 63 lower-case letters, digits and hyphens, not starting with import- or backup-"
_NCRONTAB = (
    "an NCRONTAB expression in UTC: second, minute, hour, day, month, day of the week. Time spans "
    "such as 00:00:30 are not supported"
)


class _Group(BaseModel):
    """Settings of one topic. The docstring is the topic's heading in docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)


# In a validator, `info.data` contains the valid settings that are declared before it.


class StorageSettings(_Group):
    """Storage"""

    connection: StorageConnection = _setting(
        STORAGE_CONNECTION,
        ...,
        "a connection string",
        "Storage account of uploads, import containers and the table. For access with Entra ID, "
        "leave it out and set ImporterStorage__blobServiceUri, ImporterStorage__queueServiceUri "
        "and ImporterStorage__tableServiceUri, and for a user-assigned identity also "
        "ImporterStorage__credential and ImporterStorage__clientId.",
    )
    imports_table: str = _setting(
        "IMPORTS_TABLE",
        "DeviceImports",
        "3 to 63 letters and digits, starting with a letter",
        "Table of imports.",
        pattern=r"^[A-Za-z][A-Za-z0-9]{2,62}$",
    )


class HubSettings(_Group):
    """Hubs"""

    routes: Annotated[HubRoutes, BeforeValidator(parse_hubs)] = _setting(
        "IOTHUB",
        ...,
        "a host name such as fleet.azure-devices.net, a connection string, or for several "
        "hubs a JSON object of folder name to either",
        "IoT hub that devices are imported into. A host name uses Entra ID. A connection string "
        "requires local authentication, which newer tools disable when they create a hub. "
        "fleet.service.azure-devices.net (TLS 1.3) is the same hub. With a JSON object, the first "
        "folder of a blob's name selects the hub, and uploads in other folders are rejected.",
    )
    client_id: str | None = _setting(
        "IOTHUB_CLIENT_ID",
        None,
        "a client id",
        "User-assigned identity that calls the hub. Default: the system-assigned identity.",
    )
    api_version: str = _setting(
        "IOTHUB_API_VERSION",
        "2021-04-12",
        "a version such as 2021-04-12",
        "Version of the IoT Hub service API.",
        pattern=r"^\d{4}-\d{2}-\d{2}(-preview)?$",
    )


class UploadSettings(_Group):
    """Uploads"""

    container: str = _setting(
        "UPLOAD_CONTAINER", ..., _CONTAINER, "Blob container that device files are uploaded to."
    )
    trigger_source: TriggerSource = _setting(
        "UPLOAD_TRIGGER_SOURCE",
        "EventGrid",
        None,
        "How the host detects an upload: EventGrid in Azure, LogsAndContainerScan on the local "
        "stack.",
    )
    retention: UploadRetention = _setting(
        "UPLOAD_RETENTION",
        "keep",
        None,
        "What happens to an upload after its import is final: keep it, delete it (only if the hub "
        "imported every line), or move it to UPLOAD_ARCHIVE_CONTAINER.",
    )
    archive_container: str = _setting(
        "UPLOAD_ARCHIVE_CONTAINER",
        "processed-uploads",
        _CONTAINER,
        "Container that uploads are moved to with UPLOAD_RETENTION=move, as <import id>/<blob "
        "name>. Must not be UPLOAD_CONTAINER.",
    )

    @field_validator("container", "archive_container")
    @classmethod
    def _container_name(cls, value: str) -> str:
        if not (3 <= len(value) <= 63 and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value)):
            raise ValueError("is not a valid container name")
        for reserved in ("import-", "backup-"):
            if value.startswith(reserved):
                raise ValueError(
                    f"starts with {reserved}, which is reserved for containers of imports"
                )
        return value

    @field_validator("archive_container")
    @classmethod
    def _not_the_upload_container(cls, archive: str, info: ValidationInfo) -> str:
        if info.data.get("retention") == "move" and archive == info.data.get("container"):
            raise _contradiction(
                "UPLOAD_ARCHIVE_CONTAINER and UPLOAD_CONTAINER are the same container, so each "
                "upload that is moved would be imported again. Set UPLOAD_ARCHIVE_CONTAINER to "
                "another container."
            )
        return archive


class ValidationSettings(_Group):
    """Validation"""

    policy: Policy = _setting(
        "VALIDATION_POLICY",
        Policy.REJECT,
        ", ".join(Policy),
        "What an invalid line causes: reject rejects the whole file, partial imports the valid "
        "lines and reports the others.",
    )
    max_devices: int = _number(
        "MAX_DEVICES",
        _LIMITS.max_devices,
        "1 to 10000000",
        "Maximum number of devices and modules per file.",
    )
    max_file_bytes: int = _number(
        "MAX_FILE_BYTES",
        _LIMITS.max_file_bytes,
        "1024 to 68719476736 bytes",
        "Maximum uncompressed size of a device file.",
    )
    max_line_bytes: int = _number(
        "MAX_LINE_BYTES",
        _LIMITS.max_line_bytes,
        "1024 to 16777216 bytes",
        "Maximum length of a line.",
    )
    max_expansion: int = _number(
        "MAX_EXPANSION",
        _LIMITS.max_expansion,
        "2 to 1032",
        "Maximum ratio of uncompressed to compressed size of a gzip file.",
    )
    max_deletes: int = _number(
        "MAX_DELETES",
        _LIMITS.max_deletes,
        "0 to 10000000",
        "Maximum number of devices and modules that a file may delete, unless the blob's metadata "
        "confirmDeletes allows more.",
    )
    max_delete_share: float = _number(
        "MAX_DELETE_SHARE",
        _LIMITS.max_delete_share,
        "0 to 1",
        "Maximum share of a file's lines that may delete, unless confirmDeletes allows more. 1 "
        "means no limit.",
    )
    max_reported_problems: int = _number(
        "MAX_REPORTED_PROBLEMS",
        _LIMITS.max_problems,
        "1 to 100000",
        "Maximum number of problems of each severity, and of failed devices, that a report lists. "
        "All are counted.",
    )
    csv_default_status: Literal["", "enabled", "disabled"] = _setting(
        "CSV_DEFAULT_STATUS",
        "",
        "enabled, disabled",
        "Status of CSV rows without one. Default: status is required on every row.",
    )
    csv_default_import_mode: ImportMode | None = _setting(
        "CSV_DEFAULT_IMPORT_MODE",
        None,
        "an importMode such as create",
        "importMode of CSV rows without one. Default: createOrUpdate, the default of IoT Hub.",
    )


class ScheduleSettings(_Group):
    """Schedules"""

    poll: Annotated[Schedule, BeforeValidator(_parse_schedule)] = _setting(
        "POLL_SCHEDULE",
        Schedule.parse(DEFAULT_POLL_SCHEDULE),
        _NCRONTAB,
        f"When to start jobs and read their status. {DEFAULT_POLL_SCHEDULE} is every 30 seconds.",
    )
    sweep: Annotated[Schedule, BeforeValidator(_parse_schedule)] = _setting(
        "SWEEP_SCHEDULE",
        Schedule.parse(DEFAULT_SWEEP_SCHEDULE),
        _NCRONTAB,
        "When to scan for uploads without an event, interrupted imports and expired data. "
        f"{DEFAULT_SWEEP_SCHEDULE} is every 5 minutes.",
    )
    tick_seconds: float = _number(
        "TICK_SECONDS",
        20,
        "0 to 240 seconds",
        "How long one run of POLL_SCHEDULE may keep polling new jobs while other imports wait, so "
        "that many small files finish quickly. Must be less than the shortest interval of "
        "POLL_SCHEDULE.",
    )
    job_poll_seconds: float = _number(
        "JOB_POLL_SECONDS",
        1,
        "0.01 to 60 seconds",
        "Interval between two polls of a new job while other imports wait. A hub allows 100 job "
        "calls per minute and unit.",
    )

    @field_validator("tick_seconds")
    @classmethod
    def _within_poll_schedule(cls, tick_seconds: float, info: ValidationInfo) -> float:
        schedule = info.data.get("poll")
        if schedule and tick_seconds >= (interval := schedule.shortest_interval.total_seconds()):
            raise _contradiction(
                "TICK_SECONDS is not less than the shortest interval between two runs of "
                f"POLL_SCHEDULE ({interval:.0f} s). Lower TICK_SECONDS, or choose a POLL_SCHEDULE "
                "with longer intervals."
            )
        return tick_seconds


class JobSettings(_Group):
    """Jobs of the hub"""

    storage_authentication: Literal["keyBased", "identityBased"] = _setting(
        "JOB_STORAGE_AUTHENTICATION",
        "keyBased",
        None,
        "How the hub accesses an import container: with a SAS for this container, or with its own "
        "managed identity, which needs the role Storage Blob Data Contributor and does not expire.",
    )
    storage_identity: str | None = _setting(
        "JOB_STORAGE_IDENTITY",
        None,
        "an ARM resource id",
        "User-assigned identity of the hub, with JOB_STORAGE_AUTHENTICATION=identityBased only. "
        "Default: the hub's system-assigned identity.",
    )
    files: int = _number(
        "JOB_FILES",
        96,
        "1 to 96",
        "Maximum number of files in one job. A hub runs one job at a time, and each takes seconds "
        "however small it is; so waiting files that touch no device of each other share a job. "
        "Each keeps its own result. They are cancelled, and fail, together. 1 gives every file a "
        "job of its own.",
    )
    lines: int = _number(
        "JOB_LINES",
        10_000,
        "1 to 10000000",
        "Maximum number of lines in a job of several files. A file with more than 4,000 lines is "
        "always alone. More lines make fewer jobs, of which each takes longer.",
    )
    bytes: int = _number(
        "JOB_BYTES",
        16 * 1024 * 1024,
        "1024 to 268435456 bytes",
        "Maximum size of a job of several files. The app writes their lines into one file, with "
        "about that much memory.",
    )
    sas_lifetime_hours: int = _number(
        "SAS_LIFETIME_HOURS",
        24,
        "1 to 167 hours",
        "Validity of a job's SAS, from the start of the job. Limited because a user delegation key "
        "is valid for at most 7 days. With JOB_STORAGE_AUTHENTICATION=keyBased, must not be less "
        "than JOB_DEADLINE_HOURS.",
    )
    deadline_hours: int = _number(
        "JOB_DEADLINE_HOURS",
        24,
        "1 to 720 hours",
        "How long a job may take before it is cancelled and its import fails.",
    )
    apply: Literal["all", "changes"] = _setting(
        "APPLY",
        "all",
        None,
        "Which lines of a file the hub gets. With changes, the app first compares the file with "
        "the registry, by lookups or by an export job, and sends only lines that change something. "
        "Each of them fails if its device has changed since. A change of the setting applies to "
        "files that are validated after it.",
    )
    verify_failed_devices: int = _number(
        "VERIFY_FAILED_DEVICES",
        5,
        "0 to 100",
        "Number of devices reported as missing in the job's log that are checked in the registry, "
        "because such logs can be wrong. 0 disables the check.",
    )

    @field_validator("storage_identity")
    @classmethod
    def _identity_is_used(cls, identity: str | None, info: ValidationInfo) -> str | None:
        if identity and info.data.get("storage_authentication") == "keyBased":
            raise _contradiction(
                "JOB_STORAGE_IDENTITY is set, but JOB_STORAGE_AUTHENTICATION is keyBased, which "
                "uses no identity. Set JOB_STORAGE_AUTHENTICATION to identityBased, or remove "
                "JOB_STORAGE_IDENTITY."
            )
        return identity

    @field_validator("deadline_hours")
    @classmethod
    def _within_sas_lifetime(cls, deadline: int, info: ValidationInfo) -> int:
        lifetime = info.data.get("sas_lifetime_hours", deadline)
        if info.data.get("storage_authentication") == "keyBased" and deadline > lifetime:
            raise _contradiction(
                "JOB_DEADLINE_HOURS is greater than SAS_LIFETIME_HOURS, so the SAS of a job can "
                "expire while the job is running. Lower JOB_DEADLINE_HOURS, raise "
                "SAS_LIFETIME_HOURS, or set JOB_STORAGE_AUTHENTICATION to identityBased."
            )
        return deadline

    @property
    def sas_lifetime(self) -> timedelta:
        return timedelta(hours=self.sas_lifetime_hours)

    @property
    def deadline(self) -> timedelta:
        return timedelta(hours=self.deadline_hours)


class SafeguardSettings(_Group):
    """Approval, backup and undo"""

    approval: Safeguard = _setting(
        "APPROVAL",
        "never",
        None,
        "Which imports somebody has to approve before their job. destructive: those that delete, "
        "disable or give new keys to more devices than MAX_DELETES or APPROVAL_HUB_SHARE. The app "
        "compares each file that may do so with the registry and holds it with what it would do. "
        "A file with too many deletes is not rejected then, and confirmDeletes does not approve "
        "it. Like all settings of this group it is fixed when a file is validated.",
    )
    hub_share: float = _number(
        "APPROVAL_HUB_SHARE",
        0.1,
        "0 to 1",
        "Maximum share of the hub's devices that an import may delete, disable or give new keys to "
        "without approval, with APPROVAL=destructive; each is counted for itself. 1 means that "
        "MAX_DELETES alone decides.",
    )
    deadline_days: int = _number(
        "APPROVAL_DEADLINE_DAYS",
        7,
        "1 to 90 days",
        "How long an import waits for approval before it is cancelled.",
    )
    four_eyes: bool = _setting(
        "APPROVAL_FOUR_EYES",
        False,
        "true, false",
        "Whether the person who approves must be another than the one who asked for the import. "
        "Both must be known, which takes App Service Authentication, or Entra ID at the command "
        "line. Who uploaded a file is known of uploads by dashboard, API and command line. "
        "Otherwise decline its import, and let somebody retry it.",
    )
    backup: Safeguard = _setting(
        "BACKUP",
        "never",
        None,
        "Which imports keep what they change, so that they can be undone. destructive: those that "
        "delete, disable or give new keys to devices. A backup contains device keys and is deleted "
        "after IMPORT_RETENTION_DAYS.",
    )

    @field_validator("four_eyes")
    @classmethod
    def _approval_is_demanded(cls, four_eyes: bool, info: ValidationInfo) -> bool:
        if four_eyes and info.data.get("approval") == "never":
            raise _contradiction(
                "APPROVAL_FOUR_EYES is set, but APPROVAL is never, so nothing is held. Set "
                "APPROVAL to destructive or always, or remove APPROVAL_FOUR_EYES."
            )
        return four_eyes


class RetrySettings(_Group):
    """Retries and timeouts"""

    max_attempts: int = _number(
        "MAX_ATTEMPTS",
        5,
        "1 to 100",
        "Number of attempts to validate an upload, and number of consecutive unexpected errors, "
        "after which an import fails. Outages of storage and hub do not count.",
    )
    lease_seconds: int = _number(
        "LEASE_SECONDS",
        300,
        f"{MIN_LEASE_SECONDS} to 3600 seconds",
        "How long an import stays leased to a process that stopped responding. Must be longer than "
        f"the deadline of a call to a hub ({HUB_DEADLINE} seconds).",
    )
    backoff_seconds: float = _number(
        "BACKOFF_SECONDS",
        10,
        "0 to 600 seconds",
        "First back-off when a hub is busy, throttles or is unreachable. Doubles with each "
        "attempt. Must not be greater than MAX_BACKOFF_SECONDS.",
    )
    max_backoff_seconds: float = _number(
        "MAX_BACKOFF_SECONDS", 120, "0 to 3600 seconds", "Maximum back-off."
    )
    refusal_deadline_minutes: int = _number(
        "REFUSAL_DEADLINE_MINUTES",
        30,
        "0 to 10080 minutes",
        "How long to retry a job that the hub refuses because of a missing role or of its storage "
        "access, and to wait for a job that the hub does not find. A new role assignment can take "
        "several minutes to take effect.",
    )

    @field_validator("max_backoff_seconds")
    @classmethod
    def _not_less_than_backoff(cls, maximum: float, info: ValidationInfo) -> float:
        if maximum < info.data.get("backoff_seconds", 0):
            raise _contradiction(
                "BACKOFF_SECONDS is greater than MAX_BACKOFF_SECONDS. Lower BACKOFF_SECONDS, or "
                "raise MAX_BACKOFF_SECONDS."
            )
        return maximum

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def refusal_deadline(self) -> timedelta:
        return timedelta(minutes=self.refusal_deadline_minutes)


class RetentionSettings(_Group):
    """Retention"""

    import_days: int = _number(
        "IMPORT_RETENTION_DAYS",
        30,
        "0 to 3650 days",
        "How long the container of a final import is kept. It contains device keys. 0 keeps it "
        "forever.",
    )
    record_days: int = _setting(
        "RECORD_RETENTION_DAYS",
        0,
        f"{MIN_RECORD_RETENTION} to 36500 days, or 0",
        "How long the record of a final import is kept. Events are repeated for days, and an "
        "upload without a record would be imported again. 0 keeps it forever.",
        ge=0,
        le=36_500,
    )

    @field_validator("record_days")
    @classmethod
    def _outlasts_events(cls, value: int) -> int:
        if 0 < value < MIN_RECORD_RETENTION:
            raise ValueError(f"is less than {MIN_RECORD_RETENTION}")
        return value


class WebSettings(_Group):
    """HTTP"""

    endpoints: HttpEndpoints = _setting(
        "HTTP_ENDPOINTS",
        "all",
        None,
        "What the app serves over HTTP: API and dashboard, the API only, or nothing.",
    )
    uploads: bool = _setting(
        "HTTP_UPLOADS",
        True,
        "true, false",
        "Whether dashboard and API accept uploads. If so, whoever has a function key can upload "
        "device files.",
    )


class EventSettings(_Group):
    """Events"""

    url: SecretStr | None = _setting(
        "EVENTS_URL",
        None,
        "an https URL",
        "Webhook or Event Grid topic that receives an event for each import that ends. Default: "
        "no events.",
    )
    key: SecretStr | None = _setting(
        "EVENTS_KEY",
        None,
        "a secret",
        "Secret that signs the events for a webhook, or access key of the Event Grid topic. In "
        "Azure, use a Key Vault reference. Default: events for a webhook are not signed, and a "
        "topic is accessed with Entra ID.",
    )
    deadline_hours: int = _number(
        "EVENTS_DEADLINE_HOURS",
        24,
        "1 to 168 hours",
        "How long to retry an event that is not accepted.",
    )

    @field_validator("url")
    @classmethod
    def _is_https(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            url = urlsplit(value.get_secret_value())
        except ValueError:
            raise ValueError("is not an https URL") from None
        is_local = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost")
        if not url.hostname or not (url.scheme == "https" or is_local):
            raise ValueError("is not an https URL")
        return value

    @field_validator("key")
    @classmethod
    def _has_receiver(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # An invalid EVENTS_URL is not in the data, and has an error of its own.
        if key and info.data.get("url", key) is None:
            raise _contradiction(
                "EVENTS_KEY is set, but EVENTS_URL is not, so no event is sent. Set EVENTS_URL, or "
                "remove EVENTS_KEY."
            )
        return key

    @property
    def deadline(self) -> timedelta:
        return timedelta(hours=self.deadline_hours)


class TelemetrySettings(_Group):
    """Telemetry"""

    mode: TelemetryMode = _setting(
        TELEMETRY_MODE,
        "ApplicationInsights",
        None,
        "Telemetry of host and app. With ApplicationInsights, as in host.json, the app exports no "
        "spans and metrics of its own.",
    )


@dataclass(frozen=True)
class Settings:
    """All settings of the app."""

    storage: StorageSettings
    hub: HubSettings
    uploads: UploadSettings
    validation: ValidationSettings
    schedules: ScheduleSettings
    jobs: JobSettings
    safeguards: SafeguardSettings
    retries: RetrySettings
    retention: RetentionSettings
    web: WebSettings
    events: EventSettings
    telemetry: TelemetrySettings
    is_in_azure: bool
    #: Whether the platform says who calls (App Service Authentication).
    knows_callers: bool

    def credential(self, client_id: str | None) -> TokenCredential:
        """Create a credential of this managed identity, or of the system-assigned one.

        Outside Azure, it is the developer's own. Microsoft advises against DefaultAzureCredential
        in production (learn: "Credential chains in the Azure Identity library for Python").
        """
        # Only identity-based settings need this import.
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

        if client_id or self.is_in_azure:
            return ManagedIdentityCredential(client_id=client_id)
        return DefaultAzureCredential()


def setting_groups() -> dict[str, type[BaseModel]]:
    """The groups by attribute name."""
    types = get_type_hints(Settings).items()
    return {name: group for name, group in types if issubclass(group, _Group)}


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from the environment. Empty values count as missing.

    Raises:
        SettingsError: with every problem, by setting name, and the remedy; without any value.
    """
    values: dict[str, Any] = {name: value for name, value in environment.items() if value}
    prefix = f"{STORAGE_CONNECTION}__"
    if members := {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}:
        values.setdefault(STORAGE_CONNECTION, members)
    groups: dict[str, Any] = {}
    problems: list[str] = []
    for name, group in setting_groups().items():
        try:
            groups[name] = group.model_validate(values)
        except ValidationError as error:
            problems += _messages(group, error)
    if problems:
        raise SettingsError(problems)
    # Set by Azure.
    return Settings(
        **groups,
        is_in_azure="WEBSITE_INSTANCE_ID" in values,
        knows_callers=values.get("WEBSITE_AUTH_ENABLED", "").lower() == "true",
    )


def allowed_values(field: FieldInfo) -> str:
    """What a setting may contain."""
    extra = field.json_schema_extra
    values = extra.get("values") if isinstance(extra, dict) else None
    if values is None and get_origin(field.annotation) is Literal:
        values = ", ".join(get_args(field.annotation))
    return str(values)


def _messages(group: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        if problem["type"] == _CONTRADICTION:
            yield problem["msg"]
            continue
        fields = group.model_fields.values()
        field = next(field for field in fields if field.validation_alias == problem["loc"][0])
        name = "__".join(map(str, problem["loc"]))
        yield f"{name} {_problem(problem)}. Expected: {allowed_values(field)}. {field.description}"


def _problem(problem: Any) -> str:
    match problem["type"]:
        case "missing":
            return "is required"
        case "value_error":
            return str(problem["ctx"]["error"])
    # What is expected follows.
    return "is invalid"
