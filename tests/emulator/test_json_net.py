"""Lookup of properties and error messages, as in the sources of Newtonsoft.Json 13."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iothub_emulator.json_net import JsonNetError, objects, parse_array, parse_object
from iothub_emulator.json_net.positions import show_path
from tests.emulator.json_reads import COLOR, READS, Color, refusal


def test_error_in_a_published_log() -> None:
    start = '{"id":"pump","status":"Enabled","extra":"'
    end = '","authentication":{"type":"'
    line = f'{start}{"x" * (237 - len(start) - len(end))}{end}SELF_SIGNED"}}}}'
    authentication = parse_object(line).child("authentication")
    dotnet_type = "Microsoft.Azure.Devices.Cloud.AuthenticationType"

    assert line.index("SELF_SIGNED") == 237
    assert refusal(lambda: authentication.enum("type", Color, dotnet_type)) == (
        f"Error converting value \"SELF_SIGNED\" to type 'System.Nullable`1[{dotnet_type}]'. "
        "Path 'authentication.type', line 1, position 249."
    )


def test_objects_and_arrays_in_place_of_one_another() -> None:
    assert refusal(lambda: parse_object("[{}]", dotnet_type="Hub.Device")) == (
        "Cannot deserialize the current JSON array (e.g. [1,2,3]) into type 'Hub.Device' because "
        'the type requires a JSON object (e.g. {"name":"value"}) to deserialize correctly.\r\n'
        'To fix this error either change the JSON to a JSON object (e.g. {"name":"value"}) or '
        "change the deserialized type to an array or a type that implements a collection interface "
        "(e.g. ICollection, IList) like List<T> that can be deserialized from a JSON array. "
        "JsonArrayAttribute can also be added to the type to force it to deserialize from a JSON "
        "array.\r\nPath '', line 1, position 1."
    )
    assert refusal(lambda: parse_array('{"devices":[]}', dotnet_type="Hub.Device")) == (
        'Cannot deserialize the current JSON object (e.g. {"name":"value"}) into type '
        "'System.Collections.Generic.IEnumerable`1[Hub.Device]' because the type requires a JSON "
        "array (e.g. [1,2,3]) to deserialize correctly.\r\n"
        "To fix this error either change the JSON to a JSON array (e.g. [1,2,3]) or change the "
        "deserialized type so that it is a normal .NET type (e.g. not a primitive type like "
        "integer, not a collection type like an array or List<T>) that can be deserialized from a "
        "JSON object. JsonObjectAttribute can also be added to the type to force it to deserialize "
        "from a JSON object.\r\nPath 'devices', line 1, position 11."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "Error converting value {null} to type 'T'. Path '', line 1, position 4."),
        ('"a"', "Error converting value \"a\" to type 'T'. Path '', line 1, position 3."),
        ("1", "Error converting value 1 to type 'T'. Path '', line 1, position 1."),
    ],
)
def test_values_of_another_type(text: str, message: str) -> None:
    list_message = message.replace("'T'", "'System.Collections.Generic.IEnumerable`1[T]'")

    assert refusal(lambda: parse_object(text, dotnet_type="T")) == message
    assert refusal(lambda: parse_array(text, dotnet_type="T")) == list_message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "Required property 'm' not found in JSON."),
        ('{"n":"m"}', "Required property 'm' not found in JSON."),
        ('{"m":null}', "Required property 'm' expects a value but got null."),
        ("{m:null,}", "Required property 'm' expects a value but got null."),
    ],
)
@pytest.mark.parametrize("read", ["required_string", "required_enum"])
def test_required_members(read: str, text: str, reason: str) -> None:
    root = parse_object(f" {text} ")
    nested = parse_object(f'{{"a b":{text}}}').child("a b")

    assert refusal(lambda: READS[read](root)) == (
        f"{reason} Path '', line 1, position {len(text) + 1}."
    )
    assert refusal(lambda: READS[read](nested)) == (
        f"{reason} Path '['a b']', line 1, position {len(text) + 7}."
    )


def test_a_required_enum_cannot_be_an_empty_string() -> None:
    members = parse_object('{"m":""}')

    assert refusal(lambda: READS["required_enum"](members)) == (
        "Required property 'm' expects a value but got null. Path '', line 1, position 8."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"id":"a","id":"b"}', "b"),
        ('{"ID":"a","id":"b"}', "b"),
        ('{"id":"a","ID":"b"}', "b"),
        ('{"id":"a","Id":"b","id":"c"}', "c"),
        ('{"id":"a","ID":null}', None),
        ("{id:'a',ID:'b',}", "b"),
    ],
)
def test_the_last_of_duplicate_names_wins(text: str, value: str | None) -> None:
    assert parse_object(text).string("id") == value
    assert parse_object(f'{{"x":{text}}}').child("x").string("id") == value


@pytest.mark.parametrize("text", ['{"ID":"a","COLOR":"RED"}', "{ID:'a',COLOR:'RED'}"])
def test_letter_case(text: str) -> None:
    lax, exact = parse_object(text), parse_object(text, exact_case=True)

    assert lax.string("id") == "a"
    assert lax.enum("color", Color, COLOR) is Color.RED
    assert exact.string("id") is None
    assert exact.string("ID") == "a"
    assert refusal(lambda: exact.required_string("id")).startswith(
        "Required property 'id' not found"
    )
    assert 'Error converting value "RED"' in refusal(lambda: exact.enum("COLOR", Color, COLOR))


def test_enum_numbers_are_rejected_in_strict_mode() -> None:
    strict = parse_object('{"m":1}', lenient=False)

    assert "Error converting value 1" in refusal(lambda: READS["enum"](strict))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("a", "b"), "a.b"),
        (("a", 0, "b", 1, 2), "a[0].b[1][2]"),
        ((0, "a"), "[0].a"),
        (("a", "odd name", "b"), "a['odd name'].b"),
        (("a.b",), "['a.b']"),
        (("it's", "t\tn\n\u0085\u2028\\\x01."), "['it\\'s']['t\\tn\\n\\u0085\\u2028\\\\\\u0001.']"),
        (("", "a"), "a"),
        (("$id-x", "\u00e4"), "$id-x.\u00e4"),
    ],
)
def test_paths(path: tuple[str | int, ...], shown: str) -> None:
    assert show_path(path) == shown


def test_positions_count_utf16_code_units() -> None:
    members = parse_object('{"\U0001f600":"\U0001f600","m":"x"}')

    assert refusal(lambda: READS["enum"](members)).endswith("Path 'm', line 1, position 18.")


def test_line_ends_inside_strings_count() -> None:
    members = parse_object('{"a":"\r\n\r","m":"x"}')

    assert refusal(lambda: READS["enum"](members)).endswith("Path 'm', line 3, position 9.")


def test_bulk_requests() -> None:
    first, second = parse_array('[{"id":"a"},{"ID":"b","m":[]}]')

    assert (first.string("id"), second.string("id")) == ("a", "b")
    assert refusal(lambda: second.string("m")).endswith("Path '[1].m', line 1, position 27.")
    assert refusal(lambda: first.required_string("m")) == (
        "Required property 'm' not found in JSON. Path '[0]', line 1, position 11."
    )
    assert parse_array("[]") == []
    assert [item.string("id") for item in parse_array("[{id:1},]")] == ["1"]
    assert refusal(lambda: parse_array("[{},null]", dotnet_type="T")) == (
        "Error converting value {null} to type 'T'. Path '[1]', line 1, position 8."
    )


@pytest.mark.parametrize(
    "line",
    [
        '{"id":"89490200001234567890","status":"Enabled","tags":{"n":123456789012345678}}',
        '{"ID":"a","parentScopes":["b"],"capabilities":{"iotEdge":true},"x":[{},[],1.5],"color":"RED"}',
    ],
)
def test_plain_lines_are_read_once(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(objects, "Reader", None)
    members = parse_object(line)

    assert members.required_string("id")
    assert members.string("moduleId") is None
    assert members.enum("color", Color, COLOR) in (None, Color.RED)
    assert members.strings("parentScopes") in ((), ("b",))
    assert members.child("capabilities").boolean("iotEdge") in (True, False)
    assert [item.string("id") for item in parse_array(f"[{line}]")] == [members.string("id")]


JSON_LIKE = st.text(st.sampled_from("{}[]():,\"'/*\\ \n\r\0aenrtu0x1.-+INy\u00a0\ud800\U0001f600"))


@given(text=JSON_LIKE | JSON_LIKE.map("{{a:{}".format) | st.text(), lenient=st.booleans())
def test_any_text(text: str, lenient: bool) -> None:
    for read in READS.values():
        with suppress(JsonNetError):
            read(parse_object(text, lenient=lenient))
        with suppress(JsonNetError):
            read(parse_object(f'{{"m":{text}}}', lenient=lenient))
    with suppress(JsonNetError):
        parse_array(text, lenient=lenient)
