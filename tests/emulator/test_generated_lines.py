"""Lines that the published rules allow are accepted."""

from __future__ import annotations

import base64
import json
import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iothub_emulator.registry.registry import Registry
from tests.emulator.support import Line, import_line, stored

IDS = st.text(string.ascii_letters + string.digits + "-.+%_#*?!(),=@$':;", min_size=1, max_size=128)
MODULE_IDS = IDS.filter(lambda name: not name.startswith("$"))
KEYS = st.binary(min_size=16, max_size=64).map(lambda key: base64.b64encode(key).decode())
THUMBPRINTS = st.sampled_from([40, 64]).flatmap(
    lambda size: st.tuples(*[st.text(string.hexdigits, min_size=size, max_size=size)] * 2)
)
AUTHENTICATIONS = st.one_of(
    st.none(),
    st.just({"type": "certificateAuthority"}),
    st.tuples(KEYS, KEYS).map(
        lambda keys: {
            "type": "sas",
            "symmetricKey": dict(zip(("primaryKey", "secondaryKey"), keys, strict=True)),
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        }
    ),
    THUMBPRINTS.map(
        lambda prints: {
            "type": "selfSigned",
            "x509Thumbprint": dict(
                zip(("primaryThumbprint", "secondaryThumbprint"), prints, strict=True)
            ),
        }
    ),
)
NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters=".$# "), max_size=20)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**52), 2**52 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
)
TWINS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
OPTIONAL = {
    "importMode": st.sampled_from(["create", "createOrUpdate", "CREATEORUPDATEIFMATCHETAG"]),
    "statusReason": st.text(max_size=128) | st.none(),
    "authentication": AUTHENTICATIONS,
    "tags": TWINS | st.none(),
    "properties": st.fixed_dictionaries({"desired": TWINS}),
    "capabilities": st.fixed_dictionaries({"iotEdge": st.booleans()}),
}
DEVICES = st.fixed_dictionaries(
    {"id": IDS, "status": st.sampled_from(["enabled", "disabled", "Enabled"])}, optional=OPTIONAL
)


def as_text(line: Line) -> str:

    return json.dumps(line)


@settings(deadline=None)
@given(device=DEVICES, module_id=MODULE_IDS, module=DEVICES)
def test_valid_lines_and_their_export_are_accepted(
    device: dict[str, Any], module_id: str, module: dict[str, Any]
) -> None:
    registry = Registry()
    module = {**module, "id": device["id"], "moduleId": module_id}

    assert import_line(registry, as_text(device)) is None
    assert import_line(registry, as_text(module)) is None
    exported = stored(registry, device["id"])
    assert import_line(registry, as_text(exported)) is None
    assert stored(registry, device["id"]) | {"eTag": ""} == exported | {"eTag": ""}


@settings(deadline=None)
@given(text=st.text())
def test_any_text_is_skipped_or_rejected_without_exception(text: str) -> None:
    registry = Registry()
    import_line(registry, text)

    assert len(registry) == 0
