"""Hypothesis strategies for all device lines that hubs accept."""

from __future__ import annotations

import base64
import string
from typing import Any

from hypothesis import strategies as st

from shared.device_files.lines.twin import MAX_INTEGER, MIN_INTEGER
from shared.device_files.lines.values import ImportMode

Strategy = st.SearchStrategy

SCOPE = "ms-azure-iot-edge://gateway-637107633862345678"

ID_SIGNS = "-.+%_#*?!(),:;=@$'"
_ID_ALPHABET = string.ascii_letters + string.digits + ID_SIGNS
_TEXT_ALPHABET = st.characters(codec="utf-8")
#: Characters that readers and writers often confuse.
_ODD_TEXTS = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\r\n",
        "\x85\u2028",
        "\ufeff",
        '"',
        "\\",
        "{[",
        "a,b;c\td",
        "NULL",
        "System.Object[]",
        "8.9E+19",
        "\U0001f600",
        "ä" * 99,
    ]
)
#: Id lengths; the maximum is too rare among random lengths.
_SHORT, _LONG = 12, 128


def ids() -> Strategy[str]:
    sizes = st.sampled_from([_SHORT, _SHORT, _LONG])
    return sizes.flatmap(lambda size: st.text(_ID_ALPHABET, min_size=1, max_size=size))


def module_ids() -> Strategy[str]:
    return ids().filter(lambda module_id: not module_id.startswith("$"))


def texts(max_size: int = 40) -> Strategy[str]:
    return st.text(_TEXT_ALPHABET, max_size=max_size) | _ODD_TEXTS


def names() -> Strategy[str]:
    """Property names in twins."""
    alphabet = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=" .$#")
    return st.text(alphabet, max_size=12) | st.sampled_from(["site", "floor", "id", "tags", ""])


def integers() -> Strategy[int]:
    edges = st.sampled_from([0, MIN_INTEGER, MAX_INTEGER])
    return edges | st.integers(MIN_INTEGER, MAX_INTEGER)


def floats() -> Strategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


def scalars() -> Strategy[Any]:
    return texts() | integers() | floats() | st.booleans()


def documents() -> Strategy[dict[str, Any]]:
    """Tags or desired properties, far below the size limit."""
    values = st.recursive(
        scalars(),
        lambda below: (
            st.lists(below, max_size=3) | st.dictionaries(names(), below | st.none(), max_size=3)
        ),
        max_leaves=6,
    )
    flat = st.dictionaries(names(), scalars(), max_size=3)
    deep = st.builds(_nested, st.integers(1, 10), flat)
    return st.dictionaries(names(), values | st.none(), max_size=4) | flat | deep


def _nested(depth: int, innermost: dict[str, Any]) -> dict[str, Any]:
    for _ in range(depth):
        innermost = {"a": innermost}
    return innermost


def desired_documents() -> Strategy[dict[str, Any]]:
    """Desired properties with the hub's metadata, as in exports."""
    metadata = st.just({"$lastUpdated": "2026-01-02T03:04:05Z", "a b": {"$lastUpdatedVersion": 2}})
    own = st.fixed_dictionaries({}, optional={"$metadata": metadata, "$version": st.just(3)})
    return st.builds(lambda document, extra: document | extra, documents(), own)


def reported_documents() -> Strategy[dict[str, Any]]:
    """Reported properties, which no rule restricts."""
    return st.dictionaries(texts(8), scalars() | st.none() | st.lists(st.none()), max_size=3)


def keys() -> Strategy[str]:
    return st.binary(min_size=16, max_size=64).map(lambda key: base64.b64encode(key).decode())


def thumbprints(digits: int) -> Strategy[str]:
    return st.text(string.hexdigits, min_size=digits, max_size=digits)


def _optional(**members: Strategy[Any]) -> Strategy[dict[str, Any]]:
    """Objects with any subset of these properties."""
    return st.fixed_dictionaries({}, optional=members)


def _unused(*names: str) -> Strategy[dict[str, Any] | None]:
    """Unused credentials as in exports: present but empty."""
    return st.none() | _optional(**dict.fromkeys(names, st.sampled_from([None, ""])))


def authentications(*, is_module: bool) -> Strategy[dict[str, Any] | None]:
    no_keys = _unused("primaryKey", "secondaryKey")
    no_thumbprints = _unused("primaryThumbprint", "secondaryThumbprint")
    two_keys = st.fixed_dictionaries({"primaryKey": keys(), "secondaryKey": keys()})
    of_one_size = [
        st.fixed_dictionaries(
            {"primaryThumbprint": thumbprints(digits)},
            optional={"secondaryThumbprint": st.sampled_from([None, ""]) | thumbprints(digits)},
        )
        for digits in (40, 64)
    ]
    with_none = ["sas", "none"] if is_module else ["sas"]
    return st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {"symmetricKey": two_keys},
            optional={"type": st.sampled_from(["sas", None]), "x509Thumbprint": no_thumbprints},
        ),
        st.fixed_dictionaries(
            {"x509Thumbprint": st.one_of(of_one_size)},
            optional={"type": st.sampled_from(["selfSigned", None]), "symmetricKey": no_keys},
        ),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["certificateAuthority", "selfSigned", None, *with_none])},
            optional={"symmetricKey": no_keys, "x509Thumbprint": no_thumbprints},
        ),
        st.just({}),
    )


_MEMBERS: dict[str, Strategy[Any]] = {
    "statusReason": st.none() | texts(128),
    "tags": st.none() | documents(),
    "properties": st.none()
    | _optional(desired=st.none() | desired_documents(), reported=st.none() | reported_documents()),
    "capabilities": st.none() | _optional(iotEdge=st.none() | st.booleans()),
    "deviceScope": st.sampled_from([None, "", SCOPE, "gateway"]),
    "parentScopes": st.sampled_from([None, [], [SCOPE], ["gateway"]]),
    "managedBy": st.none() | texts(8),
    # In hubs linked to Azure Device Registry
    "attributes": st.none() | reported_documents(),
    "adrDeviceProperties": st.none() | _optional(uuid=texts(8), systemData=reported_documents()),
    "deviceResourceId": st.none() | texts(8),
    "armSyncStatus": st.none() | texts(8),
}
_ETAGS = st.sampled_from([None, "", "MTIzNDU2", '"MTIzNDU2"']) | texts(8)
_GIVEN_ETAGS = _ETAGS.filter(bool)


@st.composite
def devices(
    draw: st.DrawFn,
    id_: Strategy[str] | None = None,
    module_id: Strategy[str | None] | None = None,
) -> dict[str, Any]:
    """A line without errors, possibly with warnings, with properties in any order."""
    members: dict[str, Any] = {
        "id": draw(ids() if id_ is None else id_),
        "status": draw(st.sampled_from(["enabled", "disabled"])),
    }
    name = draw(st.none() | module_ids() if module_id is None else module_id)
    if name is not None or draw(st.booleans()):
        members["moduleId"] = name
    if draw(st.integers(0, 3)):
        members["authentication"] = draw(authentications(is_module=name is not None))
    for member in draw(st.sets(st.sampled_from(sorted(_MEMBERS)))):
        members[member] = draw(_MEMBERS[member])
    mode = draw(st.sampled_from([None, None, *ImportMode]))
    if mode is not None or draw(st.booleans()):
        members["importMode"] = mode and mode.value
    _draw_for_mode(draw, members, mode)
    return dict(draw(st.permutations(list(members.items()))))


def _draw_for_mode(draw: st.DrawFn, members: dict[str, Any], mode: ImportMode | None) -> None:
    etag = twin_etag = False
    if mode is not None and mode.compares_etag:
        etag, twin_etag = not mode.updates_twin, mode.updates_twin
    for member, is_needed in (("eTag", etag), ("twinETag", twin_etag)):
        if is_needed or draw(st.booleans()):
            members[member] = draw(_GIVEN_ETAGS if is_needed else _ETAGS)
    if mode is not None and mode.updates_twin:
        if draw(st.booleans()):
            members["tags"] = draw(documents())
        else:
            members["properties"] = {"desired": draw(desired_documents())}


def key(device: dict[str, Any]) -> tuple[str, str | None]:
    return device["id"], device.get("moduleId")


@st.composite
def fleets(draw: st.DrawFn, max_size: int = 6) -> list[dict[str, Any]]:
    """Distinct devices, followed by modules, most of them of these devices."""
    own = draw(st.lists(devices(module_id=st.none()), min_size=1, max_size=max_size, unique_by=key))
    parents = st.sampled_from([device["id"] for device in own])
    modules = devices(id_=parents | ids(), module_id=module_ids())
    return own + draw(st.lists(modules, max_size=max_size // 2, unique_by=key))
