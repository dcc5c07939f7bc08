"""The app's settings: read once, checked together, every problem reported by setting name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.connections import (
    STORAGE_CONNECTION,
    HubConnection,
    HubRoutes,
    StorageConnection,
    parse_hubs,
)
from shared.device_files.limits import Limits
from shared.device_files.lines.values import ImportMode
from shared.device_files.validation_report import Policy
from shared.errors import SettingsError
from shared.schedules import NEVER, Schedule
from shared.timeouts import HUB_DEADLINE

__all__ = [
    "DEFAULT_POLL_SCHEDULE",
    "DEFAULT_SWEEP_SCHEDULE",
    "MIN_LEASE_SECONDS",
    "TELEMETRY_MODE",
    "HttpEndpoints",
    "Settings",
    "TelemetryMode",
    "TriggerSource",
    "UploadRetention",
    "load_settings",
]

#: Every 30 seconds.
DEFAULT_POLL_SCHEDULE = "*/30 * * * * *"
#: Every 5 minutes.
DEFAULT_SWEEP_SCHEDULE = "0 */5 * * * *"

_LIMITS = Limits()

#: Overrides telemetryMode of host.json (learn: "host.json reference", overriding values).
TELEMETRY_MODE = "AzureFunctionsJobHost__telemetryMode"

HttpEndpoints = Literal["all", "api", "none"]
TelemetryMode = Literal["ApplicationInsights", "OpenTelemetry"]
TriggerSource = Literal["EventGrid", "LogsAndContainerScan"]
UploadRetention = Literal["keep", "delete", "move"]

#: Days that a record is kept at least, if not for ever: events are repeated for days, and an
#: upload whose record is gone would be taken for a new one.
MIN_RECORD_RETENTION = 30

#: A lease must outlast a call to a hub. Otherwise a second process takes over the import during it.
MIN_LEASE_SECONDS = HUB_DEADLINE + 10

#: The type of an error about two settings. Its message contains problem and remedy.
_CONTRADICTION = "contradiction"


def _container(value: str) -> str:
    if not (3 <= len(value) <= 63 and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value)):
        raise ValueError("is not a container name (3 to 63 lower-case letters, digits, hyphens)")
    if value.startswith("import-"):
        raise ValueError("begins with import-, as the containers of imports do")
    return value


def _record_retention(value: int) -> int:
    if 0 < value < MIN_RECORD_RETENTION:
        raise ValueError(f"is less than {MIN_RECORD_RETENTION}")
    return value


def _events_url(value: SecretStr) -> SecretStr:
    try:
        url = urlsplit(value.get_secret_value())
    except ValueError:
        raise ValueError("is not an https address") from None
    is_local = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost")
    if not url.hostname or not (url.scheme == "https" or is_local):
        raise ValueError("is not an https address")
    return value


def _schedule(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    schedule = Schedule.parse(value)
    if schedule.next(datetime.now(UTC)) == NEVER:
        raise ValueError("is a schedule that never runs, because its dates do not exist")
    return schedule


# Contradictions between two settings. `info.data` contains the valid settings that are declared
# before the one that is validated.


def _contradiction(message: str) -> PydanticCustomError:
    return PydanticCustomError(_CONTRADICTION, "{message}", {"message": message})


def _within_poll_schedule(tick_seconds: float, info: ValidationInfo) -> float:
    schedule = info.data.get("poll_schedule")
    if schedule and tick_seconds >= (interval := schedule.shortest_interval.total_seconds()):
        raise _contradiction(
            "TICK_SECONDS is not less than the shortest interval between two runs of "
            f"POLL_SCHEDULE ({interval:.0f} s). Lower TICK_SECONDS, or choose a POLL_SCHEDULE "
            "with longer intervals."
        )
    return tick_seconds


def _identity_is_used(identity: str | None, info: ValidationInfo) -> str | None:
    if identity and info.data.get("job_storage_authentication") == "keyBased":
        raise _contradiction(
            "JOB_STORAGE_IDENTITY is set, but JOB_STORAGE_AUTHENTICATION is keyBased, which uses "
            "no identity. Set JOB_STORAGE_AUTHENTICATION to identityBased, or remove "
            "JOB_STORAGE_IDENTITY."
        )
    return identity


def _not_less_than_backoff(maximum: float, info: ValidationInfo) -> float:
    if maximum < info.data.get("backoff_seconds", 0):
        raise _contradiction(
            "BACKOFF_SECONDS is greater than MAX_BACKOFF_SECONDS. Lower BACKOFF_SECONDS, or raise "
            "MAX_BACKOFF_SECONDS."
        )
    return maximum


def _within_sas_lifetime(deadline: int, info: ValidationInfo) -> int:
    lifetime = info.data.get("sas_lifetime_hours", deadline)
    if info.data.get("job_storage_authentication") == "keyBased" and deadline > lifetime:
        raise _contradiction(
            "JOB_DEADLINE_HOURS is greater than SAS_LIFETIME_HOURS, so the SAS of a job can expire "
            "while the job is running. Lower JOB_DEADLINE_HOURS, raise SAS_LIFETIME_HOURS, or set "
            "JOB_STORAGE_AUTHENTICATION to identityBased."
        )
    return deadline


def _not_the_upload_container(archive: str, info: ValidationInfo) -> str:
    moves = info.data.get("upload_retention") == "move"
    if moves and archive == info.data.get("upload_container"):
        raise _contradiction(
            "UPLOAD_ARCHIVE_CONTAINER and UPLOAD_CONTAINER are the same container, so each upload "
            "that is moved would be imported again. Set UPLOAD_ARCHIVE_CONTAINER to another "
            "container."
        )
    return archive


def _has_receiver(key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    # An invalid EVENTS_URL is not in the data, and has an error of its own.
    if key and info.data.get("events_url", key) is None:
        raise _contradiction(
            "EVENTS_KEY is set, but EVENTS_URL is not, so no event is sent. Set EVENTS_URL, or "
            "remove EVENTS_KEY."
        )
    return key


class Settings(BaseSettings):
    """Everything the app takes from its environment. Each description says what to put there."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_nested_delimiter="__",
        enable_decoding=False,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    storage: StorageConnection = Field(
        validation_alias=STORAGE_CONNECTION,
        description="the connection string of the storage account for uploads, import containers "
        "and the table; or leave it out and set ImporterStorage__blobServiceUri, "
        "ImporterStorage__queueServiceUri and ImporterStorage__tableServiceUri, and for a "
        "user-assigned identity ImporterStorage__credential=managedidentity and "
        "ImporterStorage__clientId",
    )
    hub_routes: Annotated[HubRoutes, BeforeValidator(parse_hubs)] = Field(
        validation_alias="IOTHUB",
        description="the hub's host name (fleet.azure-devices.net, with Entra ID) or its "
        "connection string; for several hubs a JSON object of folder name to either: the first "
        "folder of a blob's name then picks the hub, and other folders are rejected",
    )
    hub_client_id: str | None = Field(
        None,
        validation_alias="IOTHUB_CLIENT_ID",
        description="the client id of the user-assigned identity that calls the hub; "
        "absent: the system-assigned one",
    )
    hub_api_version: Annotated[
        str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}(-preview)?$")
    ] = Field(
        "2021-04-12",
        validation_alias="IOTHUB_API_VERSION",
        description="the IoT Hub service API version, such as 2021-04-12",
    )
    upload_container: Annotated[str, AfterValidator(_container)] = Field(
        validation_alias="UPLOAD_CONTAINER",
        description="the name of the blob container that device files are uploaded to",
    )
    upload_trigger_source: TriggerSource = Field(
        "EventGrid",
        validation_alias="UPLOAD_TRIGGER_SOURCE",
        description="EventGrid (in Azure) or LogsAndContainerScan (local stack)",
    )
    poll_schedule: Annotated[Schedule, BeforeValidator(_schedule)] = Field(
        Schedule.parse(DEFAULT_POLL_SCHEDULE),
        validation_alias="POLL_SCHEDULE",
        description="when to start jobs and read their status, in UTC, as an NCRONTAB expression "
        "(second, minute, hour, day, month, day of the week): */30 * * * * * is every 30 seconds. "
        "Time spans such as 00:00:30 are not supported",
    )
    sweep_schedule: Annotated[Schedule, BeforeValidator(_schedule)] = Field(
        Schedule.parse(DEFAULT_SWEEP_SCHEDULE),
        validation_alias="SWEEP_SCHEDULE",
        description="when to look for uploads without an event, for interrupted work and for data "
        "to delete, in UTC, as an NCRONTAB expression: 0 */5 * * * * is every 5 minutes. Time "
        "spans are not supported",
    )
    tick_seconds: Annotated[float, Field(ge=0, le=240), AfterValidator(_within_poll_schedule)] = (
        Field(
            20,
            validation_alias="TICK_SECONDS",
            description="how long one run of POLL_SCHEDULE may keep polling young jobs while other "
            "imports wait, so that many small files finish quickly, in seconds, 0 to 240; must be "
            "less than the shortest interval of POLL_SCHEDULE",
        )
    )
    job_poll_seconds: Annotated[float, Field(ge=0.01, le=60)] = Field(
        1,
        validation_alias="JOB_POLL_SECONDS",
        description="how often a young job is asked for while others wait, in seconds, 0.01 to "
        "60: hubs allow 100 job calls a minute and unit",
    )
    imports_table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{2,62}$")] = (
        Field(
            "DeviceImports",
            validation_alias="IMPORTS_TABLE",
            description="the name of the table of imports",
        )
    )
    job_storage_authentication: Literal["keyBased", "identityBased"] = Field(
        "keyBased",
        validation_alias="JOB_STORAGE_AUTHENTICATION",
        description="keyBased (the hub gets a SAS for one container) or identityBased (the hub "
        "uses its own managed identity, which needs Storage Blob Data Contributor; nothing "
        "expires)",
    )
    job_storage_identity: Annotated[str | None, AfterValidator(_identity_is_used)] = Field(
        None,
        validation_alias="JOB_STORAGE_IDENTITY",
        description="the ARM resource id of the hub's user-assigned identity, with "
        "JOB_STORAGE_AUTHENTICATION=identityBased only; default: the system-assigned identity",
    )
    sas_lifetime_hours: Annotated[int, Field(ge=1, le=167)] = Field(
        24,
        validation_alias="SAS_LIFETIME_HOURS",
        description="how long the SAS of a job is valid, from the start of the job, in hours, 1 "
        "to 167, because a user delegation key is valid for at most 7 days; must not be less than "
        "JOB_DEADLINE_HOURS with JOB_STORAGE_AUTHENTICATION=keyBased",
    )
    validation_policy: Policy = Field(
        Policy.REJECT,
        validation_alias="VALIDATION_POLICY",
        description="reject (one error rejects the file) or partial (the good lines are imported, "
        "the others reported)",
    )
    max_devices: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        _LIMITS.max_devices,
        validation_alias="MAX_DEVICES",
        description="the most devices and modules of a file, 1 to 10000000",
    )
    max_file_bytes: Annotated[int, Field(ge=1024, le=64 * 1024**3)] = Field(
        _LIMITS.max_file_bytes,
        validation_alias="MAX_FILE_BYTES",
        description="the largest device file, uncompressed, in bytes, 1024 to 68719476736",
    )
    max_expansion: Annotated[int, Field(ge=2, le=1032)] = Field(
        _LIMITS.max_expansion,
        validation_alias="MAX_EXPANSION",
        description="how many times its size a gzip file may expand to, 2 to 1032",
    )
    max_deletes: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        _LIMITS.max_deletes,
        validation_alias="MAX_DELETES",
        description="how many devices and modules a file may delete unless the blob's metadata "
        "confirmDeletes allows more, 0 to 10000000",
    )
    max_delete_share: Annotated[float, Field(ge=0, le=1)] = Field(
        _LIMITS.max_delete_share,
        validation_alias="MAX_DELETE_SHARE",
        description="the share of a file's lines that may delete unless confirmDeletes allows "
        "more, 0 to 1; 1 is no bound",
    )
    csv_default_status: Literal["", "enabled", "disabled"] = Field(
        "",
        validation_alias="CSV_DEFAULT_STATUS",
        description="the status of CSV rows that tell none: enabled or disabled; empty: none, so "
        "that each row has to",
    )
    csv_default_import_mode: Literal[""] | ImportMode = Field(
        "",
        validation_alias="CSV_DEFAULT_IMPORT_MODE",
        description="the importMode of CSV rows that tell none, such as create; empty: "
        "createOrUpdate, as the hub has it",
    )
    max_line_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = Field(
        _LIMITS.max_line_bytes,
        validation_alias="MAX_LINE_BYTES",
        description="the longest line of a device file, in bytes, 1024 to 16777216",
    )
    max_reported_problems: Annotated[int, Field(ge=1, le=100_000)] = Field(
        _LIMITS.max_problems,
        validation_alias="MAX_REPORTED_PROBLEMS",
        description="how many problems of each severity and failed devices a report lists, "
        "1 to 100000; all are counted",
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        5,
        validation_alias="MAX_ATTEMPTS",
        description="how many times an upload is read, and how many unexpected errors in a row may "
        "stop an import, before it ends as failed, 1 to 100; outages of storage and hub do not "
        "count",
    )
    lease_seconds: Annotated[int, Field(ge=MIN_LEASE_SECONDS, le=3600)] = Field(
        300,
        validation_alias="LEASE_SECONDS",
        description="how long an import stays with a process that stopped responding, in seconds, "
        f"{MIN_LEASE_SECONDS} to 3600: longer than the timeout of a call to a hub, "
        f"{HUB_DEADLINE} seconds",
    )
    refusal_deadline_minutes: Annotated[int, Field(ge=0, le=10_080)] = Field(
        30,
        validation_alias="REFUSAL_DEADLINE_MINUTES",
        description="how long a start is tried again that the hub refuses for a missing role or "
        "for its storage access, and a job waited for that the hub does not know, in minutes, 0 to "
        "10080: new role assignments need some",
    )
    backoff_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        10,
        validation_alias="BACKOFF_SECONDS",
        description="the first back-off for a hub that is busy, throttles or cannot be reached, "
        "in seconds, 0 to 600; doubled after each attempt; must not be greater than "
        "MAX_BACKOFF_SECONDS",
    )
    max_backoff_seconds: Annotated[
        float, Field(ge=0, le=3600), AfterValidator(_not_less_than_backoff)
    ] = Field(
        120,
        validation_alias="MAX_BACKOFF_SECONDS",
        description="the longest back-off, in seconds, 0 to 3600",
    )
    job_deadline_hours: Annotated[
        int, Field(ge=1, le=720), AfterValidator(_within_sas_lifetime)
    ] = Field(
        24,
        validation_alias="JOB_DEADLINE_HOURS",
        description="how long a job may take before it is cancelled and its import fails, in "
        "hours, 1 to 720; must not be greater than SAS_LIFETIME_HOURS with "
        "JOB_STORAGE_AUTHENTICATION=keyBased",
    )
    verify_failed_devices: Annotated[int, Field(ge=0, le=100)] = Field(
        5,
        validation_alias="VERIFY_FAILED_DEVICES",
        description="how many devices that the hub's log calls missing are looked up in the "
        "registry, as such logs were seen to be wrong, 0 to 100; 0 is off",
    )
    import_retention_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        30,
        validation_alias="IMPORT_RETENTION_DAYS",
        description="how long the container of a final import is kept, in days, 0 to 3650; it "
        "holds device keys. 0 keeps it for ever",
    )
    record_retention_days: Annotated[
        int, Field(ge=0, le=36_500), AfterValidator(_record_retention)
    ] = Field(
        0,
        validation_alias="RECORD_RETENTION_DAYS",
        description="how long the record of a final import is kept, in days, 30 to 36500; 0 keeps "
        "it for ever",
    )
    upload_retention: UploadRetention = Field(
        "keep",
        validation_alias="UPLOAD_RETENTION",
        description="what becomes of an upload whose import is final: keep, delete (if the hub "
        "imported every line of it; the others are kept), or move (to UPLOAD_ARCHIVE_CONTAINER)",
    )
    upload_archive_container: Annotated[
        str, AfterValidator(_container), AfterValidator(_not_the_upload_container)
    ] = Field(
        "processed-uploads",
        validation_alias="UPLOAD_ARCHIVE_CONTAINER",
        description="the name of the container that uploads are moved to, as <import id>/<name of "
        "the upload>, with UPLOAD_RETENTION=move; must not be UPLOAD_CONTAINER",
    )
    http_endpoints: HttpEndpoints = Field(
        "all",
        validation_alias="HTTP_ENDPOINTS",
        description="what the app serves over HTTP: all (API and dashboard), api, or none",
    )
    events_url: Annotated[SecretStr, AfterValidator(_events_url)] | None = Field(
        None,
        validation_alias="EVENTS_URL",
        description="the https address of a webhook, or of an Event Grid topic, that an event is "
        "posted to whenever an import ends; absent: none is",
    )
    events_key: Annotated[SecretStr | None, AfterValidator(_has_receiver)] = Field(
        None,
        validation_alias="EVENTS_KEY",
        description="the secret that signs events to the webhook in EVENTS_URL, or the access key "
        "of the Event Grid topic; default: events are not signed, or a topic is accessed with "
        "Entra ID. In Azure, use a Key Vault reference",
    )
    events_deadline_hours: Annotated[int, Field(ge=1, le=168)] = Field(
        24,
        validation_alias="EVENTS_DEADLINE_HOURS",
        description="how long an event that is not accepted is sent again, in hours, 1 to 168",
    )
    telemetry_mode: TelemetryMode = Field(
        "ApplicationInsights",
        validation_alias=TELEMETRY_MODE,
        description="OpenTelemetry, for host and app; absent: ApplicationInsights, as host.json "
        "has it, and then the app sends no spans and metrics of its own",
    )
    website_instance_id: str | None = Field(
        None,
        validation_alias="WEBSITE_INSTANCE_ID",
        description="set by Azure: its presence means managed identity only",
    )

    @property
    def hubs(self) -> Mapping[str, HubConnection]:
        """The configured hubs by name."""
        return self.hub_routes.by_name

    @property
    def events_deadline(self) -> timedelta:
        return timedelta(hours=self.events_deadline_hours)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def sas_lifetime(self) -> timedelta:
        return timedelta(hours=self.sas_lifetime_hours)

    @property
    def job_deadline(self) -> timedelta:
        return timedelta(hours=self.job_deadline_hours)

    @property
    def refusal_deadline(self) -> timedelta:
        return timedelta(minutes=self.refusal_deadline_minutes)


def load_settings() -> Settings:
    """Return the settings from the environment.

    Raises:
        SettingsError: with every problem, by setting name, and the remedy; without any value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise SettingsError([_message(problem) for problem in problems]) from None


def _message(problem: Any) -> str:
    if problem["type"] == _CONTRADICTION:
        return str(problem["msg"])
    name, *_ = problem["loc"]
    fields = Settings.model_fields.values()
    expected = next(field.description for field in fields if field.validation_alias == name)
    return f"{_setting(problem['loc'])} {_said(problem)}. Expected: {expected}."


def _setting(loc: tuple[int | str, ...]) -> str:
    return "__".join(str(part) for part in loc)


def _said(problem: Any) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "string_pattern_mismatch":
            return "is not of the right form"
    return f"is not right: {problem['msg'][0].lower()}{problem['msg'][1:]}"
