"""Reading of JSON beyond what ``test_json_net_lines`` covers, as in Newtonsoft.Json 13."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iothub_emulator.json_net import (
    BOOLEAN,
    DOCUMENT,
    INTEGER,
    STRING,
    STRINGS,
    Contract,
    Enumeration,
    JsonNetError,
    parse_array,
    parse_object,
    parsing,
    read_as,
)
from iothub_emulator.json_net.lexis import show_path
from iothub_emulator.json_net.reader import MAX_DEPTH


class Color(StrEnum):
    RED = "red"
    DARK_BLUE = "darkBlue"


CHILD = Contract("Hub.Child", {"n": STRING})
THING = Contract(
    "Hub.Thing",
    {
        "s": STRING,
        "e": Enumeration(Color, "Hub.Color"),
        "b": BOOLEAN,
        "i": INTEGER,
        "l": STRINGS,
        "c": CHILD,
        "c2": Contract("Hub.Other", {"n": STRING}),
        "d": DOCUMENT,
    },
)
ITEM = Contract("Hub.Item", {"id": STRING, "n": STRINGS}, required=("id",))


def member(text: str, name: str, **options: bool) -> Any:
    return read_as(f'{{"{name}":{text}}}', THING, **options)[name]


def refusal(text: str, contract: Contract = THING, **options: bool) -> str:
    with pytest.raises(JsonNetError) as caught:
        read_as(text, contract, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("i", "12", 12),
        ("i", "null", None),
        ("i", '""', None),
        ("i", '" -12 "', -12),
        ("i", "2147483647", 2147483647),
        ("i", "0xFFFFFFFF", -1),
        ("i", "017", 15),
        ("e", '" +1"', Color.DARK_BLUE),
        ("e", '" -red"', Color.RED),
        ("e", '"red, DARKBLUE"', Color.DARK_BLUE),
        ("e", "4294967297", Color.DARK_BLUE),
        ("e", "0xFFFFFFFFFFFFFFFF", -1),
        ("b", '"\\u00a0TRUE\\u0000"', True),
        ("b", "-.5", True),
        ("s", "1" * 400, "1" * 400),
        ("l", '["a",1.50,true,NaN,0x1F]', ["a", "1.50", "true", "NaN", "0x1F"]),
        ("l", '{"$values":["a"]}', ["a"]),
        ("d", '{"a":1,"b":2,"a":3}', {"b": 2, "a": 3}),
        ("d", "{a:[/**/,//\n/**/1]}", {"a": [None, 1]}),
        ("d", '{"a":"\\ud83d\\ud83d\\ude00\\ude00"}', {"a": "\ufffd\U0001f600\ufffd"}),
        ("d", "{a:1.7976931348623157e309}", {"a": float("inf")}),
        ("d", "{a:18446744073709551616}", {"a": 2**64}),
        ("d", "{a:-9223372036854775809}", {"a": -(2**63) - 1}),
        ("d", "{a:-0}", {"a": 0}),
        ("d", "{a:new Date(1)}", {"a": "1970-01-01T00:00:00.001Z"}),
        ("d", "{a:new Date(2026,1)}", {"a": "2026-02-01T00:00:00"}),
        ("d", "{a:new Date(2026,1,3,4,5,6,700)}", {"a": "2026-02-03T04:05:06.7"}),
        ("d", "{a:new X([1,{}],'b')}", {"a": "new X([1,{}],'b')"}),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    assert repr(member(text, name)) == repr(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"i":"x"}', "Could not convert string to integer: x. Path 'i', line 1, position 8."),
        (
            '{"i":"2147483648"}',
            "Could not convert string to integer: 2147483648. Path 'i', line 1, position 17.",
        ),
        (
            '{"i":1.5}',
            "Input string '1.5' is not a valid integer. Path 'i', line 1, position 8.",
        ),
        (
            '{"i":2147483648}',
            "JSON integer 2147483648 is too large or small for an Int32. "
            "Path 'i', line 1, position 15.",
        ),
        ('{"i":NaN}', "Cannot read NaN value. Path 'i', line 1, position 8."),
        (
            '{"i":true}',
            "Unexpected character encountered while parsing value: t. "
            "Path 'i', line 1, position 6.",
        ),
        (
            '{"l":{"$values":1}}',
            "Unexpected token while deserializing object: EndObject. "
            "Path 'l', line 1, position 18.",
        ),
        (
            '{"c":{"$id":"1"},"C":{"$id":"2"}}',
            "Error reading object reference '2'. Path 'C', line 1, position 32.",
        ),
        (
            '{"c":{"$id":"1"},"C":{"$id":"1"}}',
            "Error reading object reference '1'. Path 'C', line 1, position 32.",
        ),
        (
            '{"l":{"$values":{}}}',
            "Unexpected state: ObjectStart. Path 'l.$values', line 1, position 17.",
        ),
        (
            '{"l":{"$values":1,"a":2}}',
            "After parsing a value an unexpected character was encountered: :. "
            "Path 'l.$values', line 1, position 21.",
        ),
        (
            '{"d":{"a":new Date(0,1)}}',
            "Year, Month, and Day parameters describe an un-representable DateTime.",
        ),
        ('{"d":{"a":new (0)}}', "Constructor name cannot be empty. (Parameter 'name')"),
        ('{"c":{"$id":"1"},"c2":{"$ref":"1"}}', "Specified cast is not valid."),
        (
            '{"d":{"a":[new Date(0',
            "Unexpected end when reading date constructor. Path 'a'.",
        ),
        (
            '{"d":{"a":{"b":new Date(1,2,3,4,5,6,7,8)}}}',
            "Unexpected number of arguments when reading date constructor. Path 'a'.",
        ),
        (
            '{"s":n\n}',
            "Unexpected character encountered while parsing value: \n. "
            "Path 's', line 1, position 7.",
        ),
        (
            '{"s":"\\\n"}',
            "Bad JSON escape sequence: \\\n. Path 's', line 1, position 8.",
        ),
        (
            '{"s":"\r\n\r\n',
            "Unterminated string. Expected delimiter: \". Path 's', line 4, position 0.",
        ),
        ("{\r\n\r\n", "Unexpected end when reading JSON. Path '', line 4, position 0."),
        (
            '{"\U0001f600":"\U0001f600",x}',
            "Invalid JavaScript property identifier character: }. Path '\U0001f600', "
            "line 1, position 12.",
        ),
    ],
)
def test_messages(text: str, message: str) -> None:
    assert refusal(text) == message


def test_error_in_a_published_log() -> None:
    start = '{"id":"pump","status":"Enabled","extra":"'
    end = '","authentication":{"type":"'
    line = f'{start}{"x" * (237 - len(start) - len(end))}{end}SELF_SIGNED"}}}}'
    dotnet_type = "Microsoft.Azure.Devices.Cloud.AuthenticationType"
    credentials = Contract("T", {"type": Enumeration(Color, dotnet_type)})

    assert line.index("SELF_SIGNED") == 237
    assert refusal(line, Contract("T", {"authentication": credentials})) == (
        f"Error converting value \"SELF_SIGNED\" to type 'System.Nullable`1[{dotnet_type}]'. "
        "Path 'authentication.type', line 1, position 249."
    )


def test_references_and_members_given_twice() -> None:
    thing = read_as('{"c":{"$id":"x","n":1},"c":{"$ref":"x"},"l":["a"],"L":["b"]}', THING)

    assert thing.child("c").string("n") == "1"
    assert thing.strings("l") == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        '{"e":"pink","e":"red"}',
        '{"e": "pink", "e": "red"}',
        '{"e" :"pink","e":"red"}',
        '{"e"\n:"pink","e":"red"}',
        '{"e":"pink","\\u0065":"red"}',
        '{"e":"pink","e":"red","s":"\\u003a"}',
        '{"e":"pink","E":"red"}',
        '{"E":"pink","e":"red"}',
    ],
)
def test_each_of_several_members_with_one_name_is_converted(text: str) -> None:
    assert 'Error converting value "pink"' in refusal(text)


def test_absent_members() -> None:
    thing = parse_object('{"e":null,"c":null,"l":[null]}', THING)

    assert (thing.string("s"), thing.enum("e", Color), thing.document("d")) == (None, None, None)
    assert (thing.boolean("b"), thing.strings("l")) == (False, ())
    assert thing.child("c").string("n") is None


def test_enum_numbers_without_a_name() -> None:
    thing = read_as('{"e":2}', THING)

    assert thing["e"] == 2
    with pytest.raises(JsonNetError):
        thing.enum("e", Color)
    assert "Error converting value 1" in refusal('{"e":1}', lenient=False)


@pytest.mark.parametrize("text", ["", " ", "null", "undefined", '""', "//", "/**/"])
def test_nothing(text: str) -> None:
    if text != "//":
        assert read_as(text, THING) is None
    with pytest.raises(JsonNetError):
        parse_object(text, THING)


def test_bulk_requests() -> None:
    first, second = parse_array('[{"id":"a"},{"ID":"b","n":["c"]}]', ITEM)

    assert (first.string("id"), second.string("id")) == ("a", "b")
    assert second.strings("n") == ("c",)
    assert parse_array("[]", ITEM) == []
    assert [item.string("id") for item in parse_array("[{id:1},]", ITEM)] == ["1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{},", "Required property 'id' not found in JSON. Path '[0]', line 1, position 3."),
        ('[{"id":"a","n":[{', "Path '[0].n', line 1, position 17."),
        ("[{id:1},null]", "No JSON content found and type 'Hub.Item' is not nullable."),
        ("1", "Error converting value 1 to type 'System.Collections.Generic.IEnumerable`1[Hub.It"),
        (
            '{"a":[]}',
            'Cannot deserialize the current JSON object (e.g. {"name":"value"}) into type '
            "'System.Collections.Generic.IEnumerable`1[Hub.Item]' because the type requires a JSON "
            "array (e.g. [1,2,3]) to deserialize correctly.\r\nTo fix this error either change",
        ),
    ],
)
def test_refused_bulk_requests(text: str, message: str) -> None:
    with pytest.raises(JsonNetError) as caught:
        parse_array(text, ITEM)
    assert message in str(caught.value)


def test_letter_case() -> None:
    for text in ('{"S":"a","E":"RED"}', "{S:'a',E:'RED'}"):
        thing = read_as(text, THING)
        assert (thing["s"], thing["e"]) == ("a", Color.RED)
        thing = read_as(text, THING, exact_case=True)
        assert (thing["s"], thing["e"]) == (None, None)
    assert 'Error converting value "RED"' in refusal('{"e":"RED"}', exact_case=True)
    assert 'Error converting value "\u212aRED"' in refusal('{"e":"\u212aRED"}')
    assert read_as('{"\u017f":1}', THING)["s"] is None


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ([], ""),
        (["a", 0, "b", 1, 2], "a[0].b[1][2]"),
        ([0, "a"], "[0].a"),
        (["a", "odd name", "b"], "a['odd name'].b"),
        (["it's", "t\tn\n\u0085\u2028\\\x01."], "['it\\'s']['t\\tn\\n\\u0085\\u2028\\\\\\u0001.']"),
        (["", "a"], "a"),
        (["$id-x", "\u00e4"], "$id-x.\u00e4"),
    ],
)
def test_paths(path: list[str | int], shown: str) -> None:
    assert show_path(path) == shown


@pytest.mark.parametrize("extra", ["", ","])
def test_depth(extra: str) -> None:
    def nested(levels: int) -> str:
        return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + extra + "}"

    read_as(nested(MAX_DEPTH), THING)
    assert refusal(nested(MAX_DEPTH + 1)) == (
        f"The reader's MaxDepth of 64 has been exceeded. Path 'a{'[0]' * 63}', line 1, position 69."
    )
    read_as('{"a":[' + "[1]," * MAX_DEPTH + "[]" + extra + "]}", THING)


@pytest.mark.parametrize(
    "line",
    [
        '{"s":"89490200001234567890","e":"Red","d":{"n":123456789012345678}}',
        '{\n\t"s": "a:",\r\n\t"d": {"n": [1e5, -0.0, 18446744073709551615]}\n}',
        '{"S":"a","l":["b"],"b":true,"c":{"n":"d"},"x":[{},[],1.5,"\\"{\\u00e4"],"E":"RED"}',
    ],
)
def test_plain_lines_are_read_by_orjson(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(parsing, "Session", None)

    assert read_as(line, THING)["s"]


@pytest.mark.parametrize(
    "text",
    [
        "{'a':1}",
        "{a:1}",
        '{"a":1,}',
        '{"a":[1,]}',
        '{"a":[1,,2]}',
        "{\"a\":'b'}",
        '{"d":/**/{}}',
        '{"a":1}//b',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":undefined}',
        '{"a":\u00a01}',
        '{"a":01}',
        '{"a":.5}',
        '{"a":0x1}',
        '{"a":"\t"}',
        '{"a":"\\\'"}',
        '{"a":new Date(0)}',
    ],
)
def test_extensions_of_json(text: str) -> None:
    assert read_as(text, THING) is not None

    assert refusal(text, lenient=False).startswith("Not standard JSON: ")


@pytest.mark.parametrize("text", ['"\\ud800"', "1" * 40, "-0.5e-3", '"\u2028"', "[[], {}, null]"])
def test_standard_json_is_read_as_by_python(text: str) -> None:
    replaced = json.loads(text.replace("\\ud800", "\\ufffd"))

    assert member(f'{{"v":{text}}}', "d", lenient=False) == {"v": replaced}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    ),
    max_size=3,
)
FORMS = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 0, 2, "\t"])}
)


@given(document=DOCUMENTS, form=FORMS, lenient=st.booleans())
def test_all_readers_agree(document: dict[str, Any], form: dict[str, Any], lenient: bool) -> None:
    text = json.dumps({"d": document}, **form)

    assert repr(read_as(text, THING, lenient=lenient)["d"]) == repr(document)
    assert repr(read_as(f"{text}/* */", THING)["d"]) == repr(document)


@given(document=DOCUMENTS, form=FORMS, cut=st.integers(1))
def test_truncated_texts(document: dict[str, Any], form: dict[str, Any], cut: int) -> None:
    text = json.dumps({"d": document}, **form)
    message = refusal(text[: cut % (len(text) - 1) + 1])

    assert re.fullmatch(r"(?s).*[.\n] ?Path '.*'(, line \d+, position \d+)?\.", message)


JSON_LIKE = st.text(st.sampled_from("{}[]():,\"'/*\\ \n\r\0aenrtu0x1.-+INy\u00a0\ud800\U0001f600"))


@given(
    text=JSON_LIKE | st.text(), name=st.sampled_from(sorted(THING.absent)), lenient=st.booleans()
)
def test_any_text(text: str, name: str, lenient: bool) -> None:
    for line in (text, f'{{"{name}":{text}', f'{{"{name}":{{"a":[{text}]}}}}'):
        with suppress(JsonNetError):
            read_as(line, THING, lenient=lenient)
        with suppress(JsonNetError):
            parse_array(line, ITEM)
