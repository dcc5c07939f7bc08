"""Target conditions of configurations, and the queries by which a hub counts their targets.

The learn pages on automatic device management and IoT Edge deployments have the forms of a
condition: ``*`` for all devices, none for no device, a condition, or one that starts with ``from
devices.modules where``. It can contain only deviceId, moduleId, tags and reported properties (also
a live hub), and no double quotes.
"""

from __future__ import annotations

import re

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.query.names import paths
from iothub_emulator.query.parser import MAX_LENGTH, parse
from iothub_emulator.query.tree import Call, Path, Source, invalid

ALL_DEVICES = "*"
#: Characters for the rest of the query.
_ROOM = 100

_OF_MODULES = re.compile(r"\s*from\s+devices\.modules\s+where\b\s*", re.IGNORECASE)
_ROWS = {Source.DEVICES: "deviceId", Source.MODULES: "deviceId, moduleId"}


def source_of(condition: str) -> Source:
    return Source.MODULES if _OF_MODULES.match(condition) else Source.DEVICES


def targets_query(condition: str, *, edge: bool = False) -> str:
    """Build the query for all targets; HubError if the condition is invalid.

    An edge deployment targets only edge devices.
    """
    edge_only = "capabilities.iotEdge = true" if edge else ""
    if condition == ALL_DEVICES:
        return _query(Source.DEVICES, edge_only)
    if not condition.strip():
        return _query(Source.DEVICES, "false")
    source = source_of(condition)
    condition = _OF_MODULES.sub("", condition, count=1)
    if _check(source, condition) and edge:
        condition = f"({condition})"
    return _query(source, f"{edge_only} and {condition}" if edge else condition)


def _query(source: Source, condition: str) -> str:
    return f"select {_ROWS[source]} from {source}{condition and f' where {condition}'}"


def _check(source: Source, condition: str) -> bool:
    """Refuse an invalid condition; return whether it is a disjunction."""
    try:
        if len(condition) > MAX_LENGTH - _ROOM:
            raise invalid("the condition is too long.")
        if '"' in condition:
            raise invalid("a condition cannot have double quotes.")
        statement = parse(_query(source, condition))
        if statement.groups:
            raise invalid("a condition cannot have GROUP BY.")
        for path in paths(statement.condition):
            _check_path(path)
    except HubError as error:
        code = ErrorCode.InvalidConfigurationTargetCondition
        raise HubError(code, error.message) from None
    return isinstance(statement.condition, Call) and statement.condition.function == "or"


def _check_path(path: Path) -> None:
    match path.names:
        case ("deviceId" | "moduleId" | "tags", *_) | ("properties", "reported", *_):
            return
    name = ".".join(path.names)
    raise invalid(f"a condition cannot contain {name}; use deviceId, tags or properties.reported.")
