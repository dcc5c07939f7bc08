"""The app's settings: read once, checked together, every problem told by the setting's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
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
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.connections import STORAGE_CONNECTION, HubConnection, StorageConnection, parse_hubs
from shared.devices.record import ImportMode
from shared.devices.report import Policy
from shared.devices.source import Limits
from shared.errors import SettingsError

__all__ = [
    "DEFAULT_POLL_SCHEDULE",
    "DEFAULT_SWEEP_SCHEDULE",
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


def _container(value: str) -> str:
    if not (3 <= len(value) <= 63 and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value)):
        raise ValueError("is not a container name (3 to 63 lower-case letters, digits, hyphens)")
    if value.startswith("import-"):
        raise ValueError("begins with import-, as the containers of imports do")
    return value


def _archive_container(value: str, info: ValidationInfo) -> str:
    if value == info.data.get("upload_container"):
        raise ValueError("is the upload container itself")
    return value


def _record_retention(value: int) -> int:
    if 0 < value < MIN_RECORD_RETENTION:
        raise ValueError(f"is less than {MIN_RECORD_RETENTION}")
    return value


def _events_url(value: SecretStr) -> SecretStr:
    url = urlsplit(value.get_secret_value())
    is_local = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost")
    if not url.hostname or not (url.scheme == "https" or is_local):
        raise ValueError("is not an https address")
    return value


def _six_fields(value: str) -> str:
    if len(value.split()) != 6:
        raise ValueError("has to have six fields, the first of which is seconds")
    return value


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
    hubs: Annotated[Mapping[str, HubConnection], BeforeValidator(parse_hubs)] = Field(
        validation_alias="IOTHUB",
        description="the hub's host name (myhub.azure-devices.net, with Entra ID) or its "
        "connection string; for several hubs a JSON object of folder name to either: the first "
        "folder of a blob's name then picks the hub",
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
    poll_schedule: Annotated[str, AfterValidator(_six_fields)] = Field(
        DEFAULT_POLL_SCHEDULE,
        validation_alias="POLL_SCHEDULE",
        description="when to follow jobs, an NCRONTAB expression of six fields: */30 * * * * * is "
        "every 30 s",
    )
    sweep_schedule: Annotated[str, AfterValidator(_six_fields)] = Field(
        DEFAULT_SWEEP_SCHEDULE,
        validation_alias="SWEEP_SCHEDULE",
        description="when to look for uploads that no event announced, for work that died and for "
        "what may be deleted, an NCRONTAB expression: 0 */5 * * * * is every 5 minutes",
    )
    tick_seconds: Annotated[float, Field(ge=0, le=240)] = Field(
        20,
        validation_alias="TICK_SECONDS",
        description="how long one run of the timer may stay with queues in which others wait, so "
        "that many small files pass quickly, in seconds, 0 to 240: less than the interval of "
        "POLL_SCHEDULE",
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
    job_storage_identity: str | None = Field(
        None,
        validation_alias="JOB_STORAGE_IDENTITY",
        description="the ARM resource id of the hub's user-assigned identity for identityBased; "
        "absent: its system-assigned one",
    )
    sas_lifetime_hours: Annotated[int, Field(ge=1, le=167)] = Field(
        24,
        validation_alias="SAS_LIFETIME_HOURS",
        description="how long the hub's SAS is valid, in hours: longer than the longest job with "
        "its wait, 1 to 167, since a user delegation key lives 7 days at most",
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
        description="how many times an upload is read before its import fails for good, 1 to 100; "
        "as poisonBlobThreshold in host.json",
    )
    lease_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        300,
        validation_alias="LEASE_SECONDS",
        description="how long a process that went silent keeps its work, in seconds, 1 to 3600",
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
        description="how long a hub that is busy, throttles or cannot be reached is left alone at "
        "first, in seconds, 0 to 600; twice as long each time",
    )
    max_backoff_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        120,
        validation_alias="MAX_BACKOFF_SECONDS",
        description="how long it is left alone at most, in seconds, 0 to 3600",
    )
    job_deadline_hours: Annotated[int, Field(ge=1, le=720)] = Field(
        24,
        validation_alias="JOB_DEADLINE_HOURS",
        description="how long a job may take before it is cancelled and its import fails, in "
        "hours, 1 to 720; raise it together with SAS_LIFETIME_HOURS",
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
        description="what becomes of an upload whose import is final: keep, delete (if it is "
        "completed; the others are kept), or move (to UPLOAD_ARCHIVE_CONTAINER)",
    )
    upload_archive_container: Annotated[
        str, AfterValidator(_container), AfterValidator(_archive_container)
    ] = Field(
        "processed-uploads",
        validation_alias="UPLOAD_ARCHIVE_CONTAINER",
        description="the name of the container that uploads are moved to, as <import id>/<name of "
        "the upload>",
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
    events_key: SecretStr | None = Field(
        None,
        validation_alias="EVENTS_KEY",
        description="the secret by which events to a webhook are signed, or the access key of the "
        "Event Grid topic; absent: unsigned, or for a topic Entra ID. In Azure best a Key Vault "
        "reference",
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
    """The settings from the environment.

    Raises:
        SettingsError: with every problem, by name, and what to put there; never with a value.
    """
    try:
        return Settings()
    except ValidationError as error:
        fields = {
            str(field.validation_alias): field.description
            for field in Settings.model_fields.values()
        }
        raise SettingsError(
            [
                f"{_setting(problem['loc'])} {_said(problem)}. "
                f"Put there: {fields[str(problem['loc'][0])]}."
                for problem in error.errors(include_input=False, include_url=False)
            ]
        ) from None


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
