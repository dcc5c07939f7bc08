"""The request that creates a job (JobProperties of the service swagger 2021-04-12)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from iothub_emulator.choices import UriEcho
from iothub_emulator.errors import ErrorCode, HubError, Shape
from iothub_emulator.json_net import (
    BOOLEAN,
    STRING,
    Contract,
    Enumeration,
    JsonNetError,
    JsonObject,
    parse_object,
)

DEFAULT_BLOB_NAME = "devices.txt"
DEFAULT_CONFIGURATIONS_NAME = "configurations.txt"

#: Optional properties: their fields, and the api-version that added them. The exact version of
#: the last four is not published.
_ADDED = {
    "inputBlobName": ("input_blob_name", "2018-06-30"),
    "outputBlobName": ("output_blob_name", "2018-06-30"),
    "storageAuthenticationType": ("storage_authentication", "2020-03-13"),
    "identity": ("user_assigned_identity", "2021-04-12"),
    "includeConfigurations": ("include_configurations", "2021-04-12"),
    "configurationsBlobName": ("configurations_blob_name", "2021-04-12"),
}
#: Always in answers since this version, independent of the request (live hub).
_SECONDARY_STORAGE, _SECONDARY_STORAGE_VERSION = "useSecondaryStorageAsSource", "2020-03-13"
FIRST_VERSION, LATEST_VERSION = "2016-02-03", "2021-04-12"

#: The spellings of the output URI on the page of 2016; the space is in its sample.
_HISTORIC_OUTPUT_URIS = (
    "outputBlobContainerUri",
    "exportBlobContainerUri",
    "outputBlobContainerUri ",
)


class JobType(StrEnum):
    IMPORT = "import"
    EXPORT = "export"


class StorageAuthentication(StrEnum):
    KEY_BASED = "keyBased"
    IDENTITY_BASED = "identityBased"


_SDK = "Microsoft.Azure.Devices"
_MEMBERS = {
    "type": Enumeration(JobType, f"{_SDK}.JobType"),
    "inputBlobContainerUri": STRING,
    "outputBlobContainerUri": STRING,
    "inputBlobName": STRING,
    "outputBlobName": STRING,
    "excludeKeysInExport": BOOLEAN,
    "storageAuthenticationType": Enumeration(
        StorageAuthentication, f"{_SDK}.StorageAuthenticationType"
    ),
    "identity": Contract(f"{_SDK}.ManagedIdentity", {"userAssignedIdentity": STRING}),
    "includeConfigurations": BOOLEAN,
    "configurationsBlobName": STRING,
}
_JOB = Contract(f"{_SDK}.JobProperties", _MEMBERS, required=("type",))
_HISTORIC_JOB = Contract(
    f"{_SDK}.JobProperties", {**_MEMBERS, **dict.fromkeys(_HISTORIC_OUTPUT_URIS, STRING)}
)


@dataclass(frozen=True)
class JobRequest:
    """The requested job. Its URIs may contain a SAS and are then secrets."""

    type: JobType
    output_uri: str
    input_uri: str = ""
    input_blob_name: str = DEFAULT_BLOB_NAME
    output_blob_name: str = DEFAULT_BLOB_NAME
    exclude_keys: bool = False
    storage_authentication: StorageAuthentication = StorageAuthentication.KEY_BASED
    #: The ARM id of an identity of the hub; empty for its own.
    user_assigned_identity: str = ""
    include_configurations: bool = False
    configurations_blob_name: str = DEFAULT_CONFIGURATIONS_NAME
    #: Names of the optional properties in the request.
    given: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str, version: str = LATEST_VERSION) -> Self:
        """Read the body of POST /jobs/create without properties that are newer than ``version``."""
        with _bad_request_if_malformed():
            body = parse_object(text, _JOB)
            type_ = body.enum("type", JobType)
            assert type_ is not None
            return cls._read(type_, body.string("outputBlobContainerUri"), body, version)

    @classmethod
    def read_historic(cls, text: str) -> Self:
        """Read the body of /importdevices, which has two properties."""
        with _bad_request_if_malformed():
            body = parse_object(text, _HISTORIC_JOB)
            spelled = map(body.string, _HISTORIC_OUTPUT_URIS)
            output_uri = next(filter(None, spelled), None)
            return cls._read(JobType.IMPORT, output_uri, body, FIRST_VERSION)

    @classmethod
    def _read(cls, type_: JobType, output_uri: str | None, body: JsonObject, version: str) -> Self:
        options: dict[str, Any] = {
            "inputBlobName": body.string("inputBlobName"),
            "outputBlobName": body.string("outputBlobName"),
            "storageAuthenticationType": body.enum(
                "storageAuthenticationType", StorageAuthentication
            ),
            "identity": body.child("identity").string("userAssignedIdentity"),
            "includeConfigurations": body.boolean("includeConfigurations"),
            "configurationsBlobName": body.string("configurationsBlobName"),
        }
        given = {name for name, value in options.items() if value and version >= _ADDED[name][1]}
        request = cls(
            type=type_,
            output_uri=output_uri or "",
            input_uri=body.string("inputBlobContainerUri") or "",
            exclude_keys=body.boolean("excludeKeysInExport"),
            given=frozenset(given),
            **{_ADDED[name][0]: options[name] for name in given},
        )
        request._check()
        return request

    def to_json(self, *, version: str, echo: UriEcho, is_creation: bool = False) -> dict[str, Any]:
        """The properties of the request in an answer about the job."""
        document: dict[str, Any] = {"excludeKeysInExport": self.exclude_keys}
        if version >= _SECONDARY_STORAGE_VERSION:
            document[_SECONDARY_STORAGE] = False
        document |= self._echoed(echo, is_creation=is_creation)
        if self.type is JobType.EXPORT:
            document = {
                name: value for name, value in document.items() if not name.startswith("input")
            }
        unknown = {name for name, (_, since) in _ADDED.items() if version < since}
        return {name: value for name, value in document.items() if name not in unknown}

    def _echoed(self, echo: UriEcho, *, is_creation: bool) -> dict[str, Any]:
        if echo == "none":
            return {"inputBlobContainerUri": "", "outputBlobContainerUri": ""}
        uris = {
            "inputBlobContainerUri": self.input_uri,
            "outputBlobContainerUri": self.output_uri,
        }
        options: dict[str, Any] = {
            "inputBlobName": self.input_blob_name,
            "outputBlobName": self.output_blob_name,
            "storageAuthenticationType": self.storage_authentication.value,
            "includeConfigurations": self.include_configurations,
            "configurationsBlobName": self.configurations_blob_name,
        }
        if self.user_assigned_identity:
            options["identity"] = {"userAssignedIdentity": self.user_assigned_identity}
        if echo == "output":
            options = {name: value for name, value in options.items() if name in self.given}
            if not is_creation:
                del uris["inputBlobContainerUri"]
        return uris | options

    def without_signatures(self) -> Self:
        """Return a copy with URIs without SAS, for logs and the store."""
        return replace(
            self,
            input_uri=self.input_uri.partition("?")[0],
            output_uri=self.output_uri.partition("?")[0],
        )

    def to_document(self) -> dict[str, Any]:
        """The form for the store."""
        return {**asdict(self), "given": sorted(self.given)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        parsed = {
            "type": JobType(document["type"]),
            "storage_authentication": StorageAuthentication(document["storage_authentication"]),
            "given": frozenset(document["given"]),
        }
        return cls(**document | parsed)

    def _check(self) -> None:
        required = {"outputBlobContainerUri": self.output_uri}
        if self.type is JobType.IMPORT:
            required["inputBlobContainerUri"] = self.input_uri
        for name, uri in required.items():
            if not uri:
                raise HubError(ErrorCode.ArgumentNull, f"{name} is missing.", Shape.E4)


@contextmanager
def _bad_request_if_malformed() -> Iterator[None]:
    try:
        yield
    except JsonNetError as error:
        raise HubError(ErrorCode.GenericBadRequest, str(error), Shape.E4) from None
