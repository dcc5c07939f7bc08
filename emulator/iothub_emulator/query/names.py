"""The properties of the documents in each collection, and which names a query may use.

A name that no document can have is refused: it would only make a condition undefined, and the
answer would be an empty page.
"""

from __future__ import annotations

from collections.abc import Iterator

from iothub_emulator.query.tree import Call, Expression, Path, Source, Statement, invalid

#: The properties of a twin, with the names below them; None if these are free.
_TWIN: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(("deviceId", "etag", "deviceEtag", "modelId", "version"), frozenset()),
    **dict.fromkeys(("status", "statusReason", "statusUpdateTime"), frozenset()),
    **dict.fromkeys(("connectionState", "lastActivityTime"), frozenset()),
    **dict.fromkeys(("cloudToDeviceMessageCount", "authenticationType"), frozenset()),
    **dict.fromkeys(("deviceScope", "parentScopes"), frozenset()),
    "x509Thumbprint": None,
    "capabilities": frozenset({"iotEdge"}),
    "tags": None,
    "properties": frozenset({"desired", "reported"}),
    "configurations": None,
}
#: The learn page on jobs has both names of the time of creation.
_JOB = dict.fromkeys(
    (
        *("deviceId", "jobId", "jobType", "status", "startTimeUtc", "endTimeUtc", "outcome"),
        *("createdTimeUtc", "createdDateTimeUtc", "lastUpdatedDateTimeUtc"),
    )
)
_PROPERTIES = {
    Source.DEVICES: _TWIN,
    Source.MODULES: _TWIN | {"moduleId": frozenset()},
    Source.JOBS: _JOB,
}
#: Azure IoT Explorer selects these; only identities have them, so the rows do not.
_OF_IDENTITIES = ("statusUpdatedTime", "connectionStateUpdatedTime", "generationId")

#: By names in lower case: on the learn page, SELECT DeviceId returns deviceId. Unlike these, names
#: below them are case-sensitive.
_SPELLINGS = {
    name.lower(): name
    for names in (*_PROPERTIES.values(), _OF_IDENTITIES, ("moduleId",))
    for name in names
}


def canonical(names: tuple[str, ...]) -> Path:
    """Build a path; the collection may precede, as in ``devices.modules.moduleId``."""
    for collection in ("devices", "modules", "jobs"):
        if len(names) > 1 and names[0].lower() == collection:
            names = names[1:]
    first = _SPELLINGS.get(names[0].lower(), names[0])
    # A sample of the C# client selects by id, as which the hub's database may store it.
    return Path(("deviceId" if first.lower() == "id" else first, *names[1:]))


def check_names(statement: Statement) -> None:
    """Refuse names that no document of the collection can have."""
    for item in statement.items or ():
        if item.path is not None and item.path.names[0] not in _OF_IDENTITIES:
            _check(item.path, statement.source)
    for path in (*statement.groups, *paths(statement.condition)):
        _check(path, statement.source)


def paths(expression: Expression | None) -> Iterator[Path]:
    match expression:
        case Path():
            yield expression
        case Call(_, operands):
            for operand in operands:
                yield from paths(operand)


def _check(path: Path, source: Source) -> None:
    name, *below = path.names
    properties = _PROPERTIES[source]
    if name not in properties:
        hint = "; a subtraction needs spaces around the minus" if "-" in name else ""
        raise invalid(f"{name} is not a property of {source}{hint}.")
    children = properties[name]
    if below and children is not None and below[0] not in children:
        raise invalid(f"{below[0]} is not a property of {name} in {source}.")
