"""Names and values that people write, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.devices.support import KEY, device, keys, ndjson, problems, validate_file

THUMBPRINT = "0123456789abcdefABCD" * 2


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (device(deviceId="x"), "id"),
        (device(device_id="x"), "id"),
        (device(importmod="create"), "importMode"),
        (device(authentication={**keys(), "thumbprint": THUMBPRINT}), "primaryThumbprint"),
        (device(authentication={"type": "SELF_SIGNED"}), "selfSigned"),
        (device(authentication={"type": "certificate_authority"}), "certificateAuthority"),
        (device(desired={}), "properties.desired"),
        (device(capabilities={"iotedged": True}), "capabilities.iotEdge"),
        (device(Status="enabled"), "status"),
    ],
)
def test_what_people_mean(line: Mapping[str, Any], meant: str) -> None:
    line = {**line}
    if "Status" in line:
        del line["status"]
    _, validation = validate_file(ndjson(line))
    assert any(meant in problem.message for problem in validation.report.problems)


def test_another_case_is_mended_in_what_is_staged() -> None:
    line = {
        "Id": "a",
        "STATUS": "Disabled",
        "Authentication": {"Type": "Sas", "SymmetricKey": {"primaryKey": KEY, "secondarykey": KEY}},
        "Tags": {"Site": "East"},
    }
    staged, validation = validate_file(ndjson(line))
    assert staged == [
        {
            "id": "a",
            "status": "disabled",
            "authentication": {
                "type": "sas",
                "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY},
            },
            "tags": {"Site": "East"},
        }
    ]
    assert validation.report.codes == {"member-case": 7, "value-case": 2}


def test_the_same_member_in_two_cases() -> None:
    assert problems({**device(), "Status": "disabled"}) == [(1, "Status", "json-duplicate-member")]
