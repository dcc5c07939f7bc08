"""The request that replaces keys of devices and modules, for ``az iot hub ... renew-key``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

from aiohttp import web

from iothub_emulator.api.request_checks import Route
from iothub_emulator.api.requests import (
    bad_request_if_malformed,
    body_of,
    existing,
    json_answer,
)
from iothub_emulator.auth.access import WRITE_DEVICES
from iothub_emulator.errors import ErrorCode, HubError, invalid
from iothub_emulator.json_net import STRING, Contract, Enumeration, ListOf, parse_object
from iothub_emulator.registry.identity import AuthenticationType, Key, new_key
from iothub_emulator.registry.registry import Registry

#: The oldest version with which a client was found to send the request.
_SINCE = "2021-04-12"


class PolicyKey(StrEnum):
    """Which keys to replace (models of the azure-iot extension of the Azure CLI)."""

    PRIMARY = "primaryKey"
    SECONDARY = "secondaryKey"
    BOTH = "both"


_TYPE = "Microsoft.Azure.Devices.RegenerateDeviceKeys"
_DEVICE = Contract(f"{_TYPE}Device", {"id": STRING, "moduleId": STRING}, required=("id",))
_REQUEST = Contract(
    f"{_TYPE}Request",
    {
        "policyKey": Enumeration(PolicyKey, f"{_TYPE}PolicyKey"),
        "devices": ListOf(_DEVICE, f"System.Collections.Generic.IList`1[{_TYPE}Device]"),
    },
    required=("policyKey", "devices"),
)


class KeyRoutes:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def routes(self) -> list[Route]:
        path = "/devices/keys/regenerate"
        return [Route("POST", path, WRITE_DEVICES, self._regenerate, since=_SINCE)]

    async def _regenerate(self, request: web.Request) -> web.Response:
        """Answer 200 even if no key was replaced: the client reads ``errors``."""
        with bad_request_if_malformed():
            body = parse_object(await body_of(request), _REQUEST)
            keys = [Key(each["id"], each["moduleId"]) for each in body["devices"] if each]
        policy = body["policyKey"]
        if not isinstance(policy, PolicyKey):
            raise invalid(f"The policyKey {policy} is unknown.")
        rotated, errors = [], []
        for key in keys:
            try:
                rotated.append(_name(key) | self._replace(key, policy))
            except HubError as error:
                refusal = {"errorCode": error.code.name, "errorStatus": error.message}
                errors.append(_name(key) | refusal)
        document = {"policyKey": policy, "rotatedKeys": rotated, "errors": errors}
        return json_answer(document)

    def _replace(self, key: Key, policy: PolicyKey) -> dict[str, str | None]:
        with self._registry.transaction():
            identity = existing(self._registry, key).identity
            credentials = identity.credentials
            if credentials.type is not AuthenticationType.SAS:
                raise HubError(ErrorCode.InvalidOperation, f"{key} has no symmetric keys.")
            if policy is not PolicyKey.SECONDARY:
                credentials = replace(credentials, primary_key=new_key())
            if policy is not PolicyKey.PRIMARY:
                credentials = replace(credentials, secondary_key=new_key())
            self._registry.update(replace(identity, credentials=credentials))
        return {
            "primaryKey": credentials.primary_key,
            "secondaryKey": credentials.secondary_key,
        }


def _name(key: Key) -> dict[str, Any]:
    name = {"id": key.device_id}
    return name if key.module_id is None else name | {"moduleId": key.module_id}
