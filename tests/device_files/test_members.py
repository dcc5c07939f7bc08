"""Common wrong names and values, and the hints for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.device_files.support import KEY, device, keys, ndjson, problems, validate_file

THUMBPRINT = "0123456789abcdefABCD" * 2
NBSP, ZWSP, LRM = "U+00A0 NO-BREAK SPACE", "U+200B ZERO WIDTH SPACE", "U+200E LEFT-TO-RIGHT MARK"
SCOPE = "ms-azure-iot-edge://edge-1-637"


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
        (device(**{"tags/site": "x"}), "tags.site?"),
        (device(**{"tags[site]": "x"}), "tags.site?"),
        (device(**{"tags['site']": "x"}), "tags.site?"),
        (device(**{"tags__site": "x"}), "tags.site?"),
        (device(**{"Tags_model_year": "x"}), "tags.model_year?"),
        (device(**{"tags/place/floor": "x"}), "tags.place.floor?"),
        (device(**{"tags[place][floor]": "x"}), "tags.place.floor?"),
        (device(**{"tag.site": "x"}), "tags.site?"),
        (device(**{"properties/desired/interval": 1}), "properties.desired.interval?"),
        (device(**{"properties__desired__a__b": 1}), "properties.desired.a.b?"),
        (device(**{"desired.interval": 1}), "properties.desired.interval?"),
        (device(properties={"interval": 1}), "properties.desired.interval?"),
        (device(properties={"desird": {}}), "properties.desired?"),
        (device(**{"authentication/type": "sas"}), "authentication.type?"),
        (device(**{"capabilities__iotEdge": True}), "capabilities.iotEdge?"),
    ],
)
def test_common_wrong_names_get_a_hint(line: Mapping[str, Any], meant: str) -> None:
    line = {**line}
    if "Status" in line:
        del line["status"]
    _, validation = validate_file(ndjson(line))
    assert any(meant in problem.message for problem in validation.report.problems)


@pytest.mark.parametrize(
    ("members", "code", "expected"),
    [
        (
            {"status": "enabled\u200b"},
            "status-invalid",
            f"{ZWSP} at character 8; did you mean enabled?",
        ),
        (
            {"status": " disabled"},
            "status-invalid",
            "U+0020 SPACE at character 1; did you mean disabled?",
        ),
        ({"status": "\ufeffEnabled"}, "status-invalid", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ({"importMode": "cre\u00adate"}, "import-mode-invalid", "U+00AD SOFT HYPHEN"),
        ({"importMode": "delete\n"}, "import-mode-invalid", "U+000A LINE FEED at character 7; did"),
        (
            {"authentication": {"type": "sas\u00a0"}},
            "authentication-type-invalid",
            f"{NBSP} at character 4; did you mean sas?",
        ),
        (
            {"authentication": {"type": "s\u0430s"}},
            "authentication-type-invalid",
            "U+0430 CYRILLIC SMALL LETTER A at character 2",
        ),
        ({"authentication": keys(f"{KEY}\u00a0")}, "key-encoding", f"{NBSP} at character 45"),
        ({"authentication": keys(KEY, f"{KEY[:20]}\n{KEY[20:]}")}, "key-encoding", "U+000A LINE"),
        (
            {"authentication": {"x509Thumbprint": {"primaryThumbprint": f"\u200e{THUMBPRINT}"}}},
            "thumbprint-invalid",
            f"{LRM} at character 1",
        ),
        (
            {"authentication": {"x509Thumbprint": {"primaryThumbprint": f"{THUMBPRINT} "}}},
            "thumbprint-invalid",
            "U+0020 SPACE at character 41",
        ),
        ({"deviceScope": f"{SCOPE}\u200b"}, "device-scope-form", ZWSP),
        ({"tags\u200b": {}}, "member-unknown", f"{ZWSP} at character 5; did you mean tags?"),
        (
            {"authentication": {**keys(), "type\u00a0": "sas"}},
            "member-unknown",
            f"{NBSP} at character 5; did you mean authentication.type?",
        ),
        ({" primaryKey": KEY}, "credentials-misplaced", "authentication.symmetricKey.primaryKey"),
        ({"id\u00a0": "x"}, "member-unknown", f"{NBSP} at character 3; id is already given"),
        ({"generationId\u00a0": "x"}, "member-of-the-hub", ""),
    ],
)
def test_invisible_characters_are_named(
    members: Mapping[str, Any], code: str, expected: str
) -> None:
    _, validation = validate_file(ndjson(device(**members)))
    (problem,) = (p for p in validation.report.problems if p.code == code)
    assert expected in problem.message


def test_an_id_property_with_an_invisible_character() -> None:
    for name, expected in (("id\u00a0", NBSP), ("\u200bid", ZWSP), ("id ", "U+0020 SPACE")):
        line = device(**{name: "a"})
        del line["id"]
        _, validation = validate_file(ndjson(line))
        (problem,) = (p for p in validation.report.problems if p.code == "member-unknown")
        assert expected in problem.message
        assert "did you mean id?" in problem.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id":\u00a0"a"}', f"column 7; {NBSP}"),
        ('{"id":"a",\u200b"status":"enabled"}', f"column 11; {ZWSP}"),
        ('{\u2060"id":"a"}', "column 2; U+2060 WORD JOINER"),
        ('{"id":"a"\u200b}', f"column 10; {ZWSP}"),
        ('{"id":"a\tb"}', "column 9; U+0009 CHARACTER TABULATION"),
        ('{"id":\u201ca\u201d}', "U+201C LEFT DOUBLE QUOTATION MARK; JSON requires"),
        ('{"id":"a"}\u200b,', f"{ZWSP} at column 11"),
    ],
)
def test_characters_that_json_does_not_allow(line: str, expected: str) -> None:
    _, validation = validate_file(ndjson(line.encode()))
    assert expected in validation.report.problems[0].message


def test_the_case_is_corrected_in_the_staged_line() -> None:
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


def test_one_property_in_two_letter_cases() -> None:
    assert problems({**device(), "Status": "disabled"}) == [(1, "Status", "json-duplicate-member")]
