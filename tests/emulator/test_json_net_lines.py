"""Lines of import files, most of them damaged, and what Newtonsoft.Json 13.0.4 made of them.

``data/json_net_lines.jsonl.gz`` was recorded on .NET 10, with classes of the assumed contract. Each
line has either ``error``, the message of the exception, or ``values``, null if nothing was read.
Numbers in "Error converting value" that .NET Framework shows otherwise are not in it.

.NET Framework refuses a number like 1e400, which .NET reads as infinite, and it takes U+180E for
whitespace.
"""

from __future__ import annotations

import gzip
import json
import struct
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.json_net import JsonNetError, JsonObject, parsing, read_as
from iothub_emulator.json_net.lexis import join_surrogates
from iothub_emulator.json_net.types import UnsureError
from iothub_emulator.registry.lines import LINE, parse_line

DATA = Path(__file__).with_name("data") / "json_net_lines.jsonl.gz"
RECORDED: list[dict[str, Any]] = [
    json.loads(line) for line in gzip.decompress(DATA.read_bytes()).splitlines()
]
REFUSED = {record["line"]: record["error"] for record in RECORDED if "error" in record}
ACCEPTED = {record["line"]: record["values"] for record in RECORDED if "values" in record}


def result(line: str) -> object:
    """The values of a line in the form of the records, or the message."""
    try:
        device = read_as(line, LINE)
    except JsonNetError as error:
        return str(error)
    return device and values_of(device)


def values_of(device: JsonObject) -> dict[str, Any]:
    credentials, properties = device.child("authentication"), device.child("properties")
    keys, thumbprints = credentials.child("symmetricKey"), credentials.child("x509Thumbprint")
    return {
        **{name: device[name] for name in ("id", "moduleId", "eTag", "twinETag", "statusReason")},
        **{name: device[name] for name in ("deviceScope", "managedBy")},
        "importMode": shown_enum(device["importMode"]),
        "status": shown_enum(device["status"]),
        "type": shown_enum(credentials["type"]),
        **keys,
        **thumbprints,
        "iotEdge": device.child("capabilities").boolean("iotEdge"),
        "parentScopes": [*device.strings("parentScopes")],
        "tags": tagged(device.document("tags")),
        "desired": tagged(properties.document("desired")),
        "reported": tagged(properties.document("reported")),
    }


def shown_enum(value: StrEnum | int | None) -> str | None:
    if isinstance(value, StrEnum):
        return value[0].upper() + value[1:]
    return None if value is None else f"#{value}"


def tagged(value: Any) -> Any:
    """A document with the type of each value."""
    return None if value is None else tagged_item(value)


def tagged_item(value: Any) -> list[Any]:
    match value:
        case None:
            return ["n"]
        case bool():
            return ["b", value]
        case int():
            return ["i", str(value)]
        case float():
            return ["f", str(struct.unpack("<q", struct.pack("<d", value))[0])]
        case str():
            return ["s", value]
        case list():
            return ["a", [tagged_item(item) for item in value]]
    return ["o", [[name, tagged_item(item)] for name, item in value.items()]]


def as_json(recorded: Any) -> Any:
    """What the emulator keeps of tagged documents: undefined is null; others become strings."""
    match recorded:
        case ["u"]:
            return ["n"]
        case ["Date", shown]:
            return ["s", json.loads(shown)]
        case ["Constructor", shown]:
            return ["s", shown]
        case list():
            return [as_json(item) for item in recorded]
        case dict():
            return {name: as_json(value) for name, value in recorded.items()}
    return recorded


def as_logged(message: str) -> str:
    """The only differences between messages: a hub runs on Windows, and its log is UTF-8.

    UTF-8 cannot represent one half of a character beyond U+FFFF.
    """
    is_long = message.startswith("Cannot deserialize the current JSON")
    return join_surrogates(message.replace("\n", "\r\n") if is_long else message)


def test_number_of_records() -> None:
    assert (len(RECORDED), len(REFUSED), len(ACCEPTED)) == (3240, 1841, 1399)


def test_messages() -> None:
    differences = {
        line: message for line, message in REFUSED.items() if result(line) != as_logged(message)
    }

    assert differences == {}


def test_values() -> None:
    expected = {line: as_json(values) for line, values in ACCEPTED.items()}

    assert {line: result(line) for line in ACCEPTED} == expected


def test_import_refuses_the_same_lines() -> None:
    for line in ACCEPTED:
        parse_line(line)
    for line, message in REFUSED.items():
        with pytest.raises(HubError) as caught:
            parse_line(line)
        assert caught.value.code is ErrorCode.DeserializationError
        expected = f"Invalid device format in line: {line}. {as_logged(message)}"
        assert caught.value.message == expected


def test_orjson_and_the_reader_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {record["line"]: result(record["line"]) for record in RECORDED}
    monkeypatch.setattr(parsing, "_read_plain", refuse)

    assert {line: result(line) for line in results} == results


def refuse(*_: object) -> None:
    raise UnsureError
