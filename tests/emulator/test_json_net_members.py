"""Conversion of properties, as in the sources of Newtonsoft.Json 13."""

from __future__ import annotations

from functools import partial

import pytest

from iothub_emulator.json_net import parse_object
from tests.emulator.json_reads import COLOR, READS, Color, refusal

NULLABLE_COLOR = f"System.Nullable`1[{COLOR}]"
STRINGS = "System.Collections.Generic.IList`1[System.String]"


@pytest.mark.parametrize(
    ("read", "member", "value"),
    [
        ("string", '"a"', "a"),
        ("string", '""', ""),
        ("string", "null", None),
        ("string", "1.50", "1.50"),
        ("string", "0x1F", "0x1F"),
        ("string", "123456789012345678901234567890", "123456789012345678901234567890"),
        ("string", "true", "true"),
        ("string", "-Infinity", "-Infinity"),
        ("required_string", '""', ""),
        ("required_string", "7", "7"),
        ("enum", '"red"', Color.RED),
        ("enum", '" DARKBLUE "', Color.DARK_BLUE),
        ("enum", '""', None),
        ("enum", "null", None),
        ("enum", "1", Color.DARK_BLUE),
        ("enum", '"+1"', Color.DARK_BLUE),
        ("required_enum", "0", Color.RED),
        ("boolean", "true", True),
        ("boolean", "null", False),
        ("boolean", "0", False),
        ("boolean", "-1.5", True),
        ("boolean", '" True\t"', True),
        ("boolean", '"FALSE"', False),
        ("boolean", '""', False),
        ("integer", "12", 12),
        ("integer", "null", None),
        ("integer", '""', None),
        ("integer", '" -12 "', -12),
        ("integer", "2147483647", 2147483647),
        ("strings", '["a","b"]', ("a", "b")),
        ("strings", '["a",1,true,null]', ("a", "1", "true")),
        ("strings", "[]", ()),
        ("strings", "null", ()),
        ("strings", "undefined", ()),
        ("strings", '""', ()),
        ("child", '{"n":"a"}', "a"),
        ("child", "{n:1}", "1"),
        ("child", "null", None),
        ("child", "undefined", None),
        ("child", '""', None),
        ("document", '{"a":[{"b":null}]}', {"a": [{"b": None}]}),
        ("document", "{a:[{b:undefined}]}", {"a": [{"b": None}]}),
        ("document", "null", None),
    ],
)
def test_members(read: str, member: str, value: object) -> None:
    for text in (f'{{"m":{member}}}', f'{{"M":0,"m":{member}}}', f"{{m:{member},}}"):
        assert READS[read](parse_object(text)) == value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("string", None),
        ("enum", None),
        ("boolean", False),
        ("integer", None),
        ("strings", ()),
        ("child", None),
        ("document", None),
    ],
)
def test_absent_members(read: str, value: object) -> None:
    assert READS[read](parse_object('{"mm":1}')) == value
    assert READS[read](parse_object('{"m":1}').child("other")) == value


@pytest.mark.parametrize(
    ("read", "member", "reason", "read_to"),
    [
        ("string", "{}", "Unexpected character encountered while parsing value: {.", 1),
        ("string", '["a"]', "Unexpected character encountered while parsing value: [.", 1),
        ("string", "undefined", "Unexpected character encountered while parsing value: u.", 1),
        ("string", ",", "Unexpected character encountered while parsing value: ,.", 1),
        ("required_string", "[]", "Unexpected character encountered while parsing value: [.", 1),
        ("enum", '"blue"', f"Error converting value \"blue\" to type '{NULLABLE_COLOR}'.", 6),
        ("enum", '"a\\"b"', f'Error converting value "a"b" to type \'{NULLABLE_COLOR}\'.', 6),
        (
            "enum",
            '"red, darkBlue"',
            f"Error converting value \"red, darkBlue\" to type '{NULLABLE_COLOR}'.",
            15,
        ),
        ("enum", "2", f"Error converting value 2 to type '{NULLABLE_COLOR}'.", 1),
        ("enum", "-1", f"Error converting value -1 to type '{NULLABLE_COLOR}'.", 2),
        ("enum", '"2"', f"Error converting value \"2\" to type '{NULLABLE_COLOR}'.", 3),
        ("enum", "true", "Unexpected token Boolean when parsing enum.", 4),
        ("enum", "1.0", "Unexpected token Float when parsing enum.", 3),
        ("enum", "undefined", "Unexpected token Undefined when parsing enum.", 9),
        ("enum", '{"a":1}', "Unexpected token StartObject when parsing enum.", 1),
        ("enum", "[1]", "Unexpected token StartArray when parsing enum.", 1),
        ("boolean", '"yes"', "Could not convert string to boolean: yes.", 5),
        ("boolean", "NaN", "Unexpected character encountered while parsing value: N.", 1),
        ("boolean", "{}", "Unexpected character encountered while parsing value: {.", 1),
        ("integer", '"x"', "Could not convert string to integer: x.", 3),
        (
            "integer",
            '"2147483648"',
            "Could not convert string to integer: 2147483648.",
            12,
        ),
        ("integer", "1.5", "Input string '1.5' is not a valid integer.", 3),
        (
            "integer",
            "2147483648",
            "JSON integer 2147483648 is too large or small for an Int32.",
            10,
        ),
        ("integer", "NaN", "Cannot read NaN value.", 3),
        ("integer", "true", "Unexpected character encountered while parsing value: t.", 1),
        ("strings", '"a"', f"Error converting value \"a\" to type '{STRINGS}'.", 3),
        ("strings", "false", f"Error converting value False to type '{STRINGS}'.", 5),
        ("child", "1e20", "Error converting value 1E+20 to type 'Hub.Child'.", 4),
        ("child", "1.50", "Error converting value 1.5 to type 'Hub.Child'.", 4),
        ("child", "NaN", "Error converting value NaN to type 'Hub.Child'.", 3),
        (
            "document",
            "[{}]",
            "Deserialized JSON type 'Newtonsoft.Json.Linq.JArray' is not compatible with expected "
            "type 'Newtonsoft.Json.Linq.JObject'.",
            4,
        ),
        (
            "document",
            "1",
            "Deserialized JSON type 'Newtonsoft.Json.Linq.JValue' is not compatible with expected "
            "type 'Newtonsoft.Json.Linq.JObject'.",
            1,
        ),
    ],
)
def test_members_of_another_type(read: str, member: str, reason: str, read_to: int) -> None:
    for start in ('{"m":', '{"m":1, "M" : '):
        members = parse_object(f"{start}{member}}}")
        name, position = start.split('"')[-2], len(start) + read_to

        assert refusal(partial(READS[read], members)) == (
            f"{reason} Path '{name}', line 1, position {position}."
        )


@pytest.mark.parametrize(
    ("read", "text", "path", "position"),
    [
        ("strings", '{"m":["a",{"b":1}]}', "m[1]", 11),
        ("strings", '{"m":["a",[]]}', "m[1]", 11),
        ("strings", '{"m":["a",,]}', "m[1]", 11),
        ("strings", '{"m":{"a" : 1}}', "m.a", 11),
        ("strings", '{"m":{}}', "m", 7),
        ("child", '{"m":[1]}', "m", 6),
        ("child", '{"m":{"n":{}}}', "m.n", 11),
    ],
)
def test_positions_inside_members(read: str, text: str, path: str, position: int) -> None:
    message = refusal(lambda: READS[read](parse_object(text)))

    assert message.endswith(f"Path '{path}', line 1, position {position}.")
