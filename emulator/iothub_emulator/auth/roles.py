"""The built-in roles of Azure, as far as they matter to the data plane of a hub.

Data actions are those of the learn page on Azure's built-in roles for the Internet of Things.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

#: Patterns of data actions, without the prefix ``Microsoft.Devices/IotHubs/`` as in permissions.
ROLES: Mapping[str, frozenset[str]] = {
    "IoT Hub Data Contributor": frozenset({"*"}),
    "IoT Hub Data Reader": frozenset({"*/read", "fileUpload/notifications/action"}),
    "IoT Hub Registry Contributor": frozenset({"devices/*"}),
    "IoT Hub Twin Contributor": frozenset({"twins/*"}),
    # They manage hubs and have no data action, which surprises people (azure-iot-sdk-csharp#3344).
    "Owner": frozenset(),
    "Contributor": frozenset(),
}
DEFAULT_ROLE = "IoT Hub Data Contributor"


class Roles:
    """Which principal has which role on the hub; None is no role at all.

    Both the constructor and ``assign`` raise ValueError for a role that does not exist.
    """

    def __init__(self, default: str | None = DEFAULT_ROLE) -> None:
        self._default = _data_actions(default)
        self._assigned: dict[str, frozenset[str]] = {}

    def assign(self, principal_id: str, role: str | None) -> None:
        """Give a principal a role in place of the one it has."""
        self._assigned[principal_id] = _data_actions(role)

    def permit(self, principal_id: str, action: str) -> bool:
        patterns = self._assigned.get(principal_id, self._default)
        return any(fnmatchcase(action, pattern) for pattern in patterns)


def _data_actions(role: str | None) -> frozenset[str]:
    if role is None:
        return frozenset()
    if role not in ROLES:
        raise ValueError(f"no role {role!r}; there are {', '.join(ROLES)}")
    return ROLES[role]
