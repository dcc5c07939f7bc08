"""What each operation asks of its caller, by shared access policy and by Entra ID role.

The rights of policies are those of the learn page on shared access signatures, the data actions
those of the learn page on Entra ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto


class Right(Flag):
    """What a shared access policy permits."""

    REGISTRY_READ = auto()
    REGISTRY_WRITE = auto()
    SERVICE_CONNECT = auto()
    DEVICE_CONNECT = auto()


@dataclass(frozen=True)
class Permission:
    """What a token has to permit: one right of its policy, or one data action of its role."""

    right: Right
    #: Without the prefix ``Microsoft.Devices/IotHubs/`` that all of them share.
    action: str


#: Jobs take both rights of the registry, reading them too (help text of the az CLI).
_REGISTRY = Right.REGISTRY_READ | Right.REGISTRY_WRITE

READ_JOBS = Permission(_REGISTRY, "jobs/read")
WRITE_JOBS = Permission(_REGISTRY, "jobs/write")
DELETE_JOBS = Permission(_REGISTRY, "jobs/delete")
READ_DEVICES = Permission(Right.REGISTRY_READ, "devices/read")
WRITE_DEVICES = Permission(Right.REGISTRY_WRITE, "devices/write")
DELETE_DEVICES = Permission(Right.REGISTRY_WRITE, "devices/delete")
#: A policy that may write the registry may not read a twin (live hub).
READ_TWINS = Permission(Right.SERVICE_CONNECT, "twins/read")
WRITE_TWINS = Permission(Right.SERVICE_CONNECT, "twins/write")
READ_STATISTICS = Permission(Right.REGISTRY_READ, "statistics/read")
READ_CONFIGURATIONS = Permission(Right.REGISTRY_READ, "configurations/read")
WRITE_CONFIGURATIONS = Permission(Right.REGISTRY_WRITE, "configurations/write")
DELETE_CONFIGURATIONS = Permission(Right.REGISTRY_WRITE, "configurations/delete")
