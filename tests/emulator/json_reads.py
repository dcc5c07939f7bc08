"""All ways to read a property of a JSON object, and the error message."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import pytest

from iothub_emulator.json_net import JsonNetError, JsonObject


class Color(StrEnum):
    RED = "red"
    DARK_BLUE = "darkBlue"


COLOR = "Hub.Color"

Read = Callable[[JsonObject], object]

READS: dict[str, Read] = {
    "string": lambda members: members.string("m"),
    "required_string": lambda members: members.required_string("m"),
    "enum": lambda members: members.enum("m", Color, COLOR),
    "required_enum": lambda members: members.required_enum("m", Color, COLOR),
    "boolean": lambda members: members.boolean("m"),
    "integer": lambda members: members.integer("m"),
    "strings": lambda members: members.strings("m"),
    "child": lambda members: members.child("m", "Hub.Child").string("n"),
    "document": lambda members: members.document("m"),
}


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(JsonNetError) as caught:
        read()
    return str(caught.value)
