"""What each operation requires, and what shared access policies and Entra ID roles grant.

Rights of policies: learn page on shared access signatures. Data actions: learn page on Entra ID.
Roles: learn page on Azure's built-in roles for the Internet of Things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from fnmatch import fnmatchcase


class Right(Flag):
    """What a shared access policy permits."""

    REGISTRY_READ = auto()
    REGISTRY_WRITE = auto()
    SERVICE_CONNECT = auto()
    DEVICE_CONNECT = auto()


#: The policies that every hub is created with.
POLICIES: Mapping[str, Right] = {
    "iothubowner": ~Right(0),
    "service": Right.SERVICE_CONNECT,
    "device": Right.DEVICE_CONNECT,
    "registryRead": Right.REGISTRY_READ,
    "registryReadWrite": Right.REGISTRY_READ | Right.REGISTRY_WRITE,
}


@dataclass(frozen=True)
class Permission:
    """What an operation requires: rights of a policy, or a data action of a role."""

    right: Right
    #: Without the common prefix ``Microsoft.Devices/IotHubs/``.
    action: str


#: Jobs require both rights of the registry, also for reading (help text of the az CLI).
_REGISTRY = Right.REGISTRY_READ | Right.REGISTRY_WRITE

READ_JOBS = Permission(_REGISTRY, "jobs/read")
WRITE_JOBS = Permission(_REGISTRY, "jobs/write")
DELETE_JOBS = Permission(_REGISTRY, "jobs/delete")
READ_DEVICES = Permission(Right.REGISTRY_READ, "devices/read")
WRITE_DEVICES = Permission(Right.REGISTRY_WRITE, "devices/write")
DELETE_DEVICES = Permission(Right.REGISTRY_WRITE, "devices/delete")
#: registryReadWrite does not include reading a twin (live hub).
READ_TWINS = Permission(Right.SERVICE_CONNECT, "twins/read")
WRITE_TWINS = Permission(Right.SERVICE_CONNECT, "twins/write")
READ_STATISTICS = Permission(Right.REGISTRY_READ, "statistics/read")
READ_CONFIGURATIONS = Permission(Right.REGISTRY_READ, "configurations/read")
WRITE_CONFIGURATIONS = Permission(Right.REGISTRY_WRITE, "configurations/write")
DELETE_CONFIGURATIONS = Permission(Right.REGISTRY_WRITE, "configurations/delete")
#: The rights of policies for these two are an assumption.
TEST_QUERIES = Permission(Right.REGISTRY_READ, "configurations/testQueries/action")
APPLY_CONFIGURATIONS = Permission(Right.REGISTRY_WRITE, "configurations/applyToEdgeDevice/action")

#: Patterns of data actions, without the common prefix.
ROLES: Mapping[str, frozenset[str]] = {
    "IoT Hub Data Contributor": frozenset({"*"}),
    "IoT Hub Data Reader": frozenset({"*/read", "fileUpload/notifications/action"}),
    "IoT Hub Registry Contributor": frozenset({"devices/*"}),
    "IoT Hub Twin Contributor": frozenset({"twins/*"}),
    # These manage hubs and have no data action, a common surprise (azure-iot-sdk-csharp#3344).
    "Owner": frozenset(),
    "Contributor": frozenset(),
}
DEFAULT_ROLE = "IoT Hub Data Contributor"


class Roles:
    """Role assignments on the hub; None stands for no role.

    The constructor and ``assign`` raise ValueError for an unknown role.
    """

    def __init__(self, default: str | None = DEFAULT_ROLE) -> None:
        self._default = _data_actions(default)
        self._assigned: dict[str, frozenset[str]] = {}

    def assign(self, principal_id: str, role: str | None) -> None:
        """Replace the role of a principal."""
        self._assigned[principal_id] = _data_actions(role)

    def permit(self, principal_id: str, action: str) -> bool:
        patterns = self._assigned.get(principal_id, self._default)
        return any(fnmatchcase(action, pattern) for pattern in patterns)


def _data_actions(role: str | None) -> frozenset[str]:
    if role is None:
        return frozenset()
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; known roles: {', '.join(ROLES)}")
    return ROLES[role]
