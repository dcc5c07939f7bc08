"""Accepted syntax and syntax errors of Json.NET."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iothub_emulator.json_net import JsonNetError, parse_object
from iothub_emulator.json_net.reader import MAX_DEPTH, Reader


def value_of(text: str, *, lenient: bool = True) -> Any:
    """The value of a JSON text in a twin."""
    document = parse_object(f'{{"twin":{{"v":{text}}}}}', lenient=lenient).document("twin")
    assert document is not None
    return document["v"]


def syntax_error(text: str, *, lenient: bool = True) -> str:
    with pytest.raises(JsonNetError) as caught:
        parse_object(text, lenient=lenient, dotnet_type="T")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a':'b'}", {"a": "b"}),
        ("{a:1,$b_2:2,1:3,\u00e4:4}", {"a": 1, "$b_2": 2, "1": 3, "\u00e4": 4}),
        ("[/* a */ 1 /**/, // b\n 2 /* c\n */ ]", [1, 2]),
        ("[1,2,]", [1, 2]),
        ('{"a":1,}', {"a": 1}),
        ("[,1]", [None, 1]),
        ("[,]", [None]),
        ("[1,,2]", [1, None, 2]),
        ('{"a":,"b":1}', {"a": None, "b": 1}),
        ("[undefined]", [None]),
        ("[0x1A,0X1a,-010,010,00]", [26, 26, -10, 8, 0]),
        ("[0xFFFFFFFFFFFFFFFF,01777777777777777777777]", [-1, -1]),
        ("[.5,-.5,1.,5.e1]", [0.5, -0.5, 1.0, 50.0]),
        ("[1e2,-1.5E-3,1.0,0e1,0.5]", [100.0, -0.0015, 1.0, 0.0, 0.5]),
        ("[-0,-0.0]", [0, -0.0]),
        ("[1.7976931348623157E+309,-1e400]", [math.inf, -math.inf]),
        ("[Infinity,-Infinity]", [math.inf, -math.inf]),
        ("[9223372036854775807,9223372036854775808]", [2**63 - 1, 2**63]),
        ("[-9223372036854775809,18446744073709551616]", [-(2**63) - 1, 2**64]),
        ("1" * 380, int("1" * 380)),
        ('"\\b\\t\\n\\f\\r\\"\\\\\\/\\\'"', "\b\t\n\f\r\"\\/'"),
        ("'\"\\\"'", '""'),
        ('"\\u00e4\\uD83D\\uDE00"', "\u00e4\U0001f600"),
        ('"\\ud83d"', "\ufffd"),
        ('"\\ude00x"', "\ufffdx"),
        ('"\\ud83d\\ud83d\\ude00"', "\ufffd\U0001f600"),
        ('"\\ud83d\\u0041"', "\ufffdA"),
        ('"a\tb\nc\0"', "a\tb\nc\0"),
        ("\u00a0\u2028\x0b\0[\u30001\0]", [1]),
        ("[true/**/,false]", [True, False]),
        ('"2026-03-05T14:07:09.1234567+02:00"', "2026-03-05T14:07:09.1234567+02:00"),
        ('{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
    ],
)
def test_valid_json(text: str, value: object) -> None:
    assert repr(value_of(text)) == repr(value)


def test_not_a_number() -> None:
    assert math.isnan(value_of("NaN"))


# Most of these agree with published measurements of a service that uses Json.NET. It reads untyped
# documents, so its messages at the end of a text differ.
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "No JSON content found and type 'T' is not nullable. Path '', line 0, position 0."),
        (
            " \n ",
            "No JSON content found and type 'T' is not nullable. Path '', line 2, position 1.",
        ),
        ("hello", "Unexpected character encountered while parsing value: h. @ '' 0 0"),
        (" h", "Unexpected character encountered while parsing value: h. @ '' 1 1"),
        ("\nh", "Unexpected character encountered while parsing value: h. @ '' 0 0"),
        ("//\nh", "Unexpected character encountered while parsing value: h. @ '' 2 0"),
        ("}", "Unexpected character encountered while parsing value: }. @ '' 0 0"),
        ("[}", "Unexpected character encountered while parsing value: }. @ '' 1 1"),
        ("[+1]", "Unexpected character encountered while parsing value: +. @ '' 1 1"),
        ('{\r\n"a":\r\n  x}', "Unexpected character encountered while parsing value: x. @ 'a' 3 2"),
        ("[1,\n2,\nx]", "Unexpected character encountered while parsing value: x. @ '[1]' 3 0"),
        ('{"a":[1,q]}', "Unexpected character encountered while parsing value: q. @ 'a[0]' 1 8"),
        ('{"a":nope}', "Unexpected character encountered while parsing value: n. @ 'a' 1 5"),
        ("[new Date(0)]", "Unexpected character encountered while parsing value: n. @ '' 1 1"),
        ("[\U0001f600]", "Unexpected character encountered while parsing value: \ufffd. @ '' 1 1"),
        ("]", "JsonToken EndArray is not valid for closing JsonType None. @ '' 1 1"),
        ('{"a":]', "JsonToken EndArray is not valid for closing JsonType Object. @ '' 1 6"),
        ('{"a":[1}', "JsonToken EndObject is not valid for closing JsonType Array. @ 'a' 1 8"),
        ("[1)", "JsonToken EndConstructor is not valid for closing JsonType Array. @ '' 1 3"),
        ("{", "Unexpected end when reading JSON. @ '' 1 1"),
        ('{"a":1', "Unexpected end when deserializing object. @ 'a' 1 6"),
        ('{"a":1,', "Unexpected end when deserializing object. @ 'a' 1 7"),
        ('{"key":1,', "Unexpected end when deserializing object. @ 'key' 1 9"),
        ('{"a":', "Unexpected end when setting a's value. @ 'a' 1 5"),
        ("[", "Unexpected end when deserializing array. @ '' 1 1"),
        ("[1", "Unexpected end when deserializing array. @ '[0]' 1 2"),
        ("[1,", "Unexpected end when deserializing array. @ '[0]' 1 3"),
        ('{"a":[{"b":1}', "Unexpected end when deserializing array. @ 'a[0]' 1 13"),
        ("[tr", "Unexpected end when reading JSON. @ '' 1 3"),
        ("[n", "Unexpected end when reading JSON. @ '' 1 2"),
        ("[tru/**/]", "Error parsing boolean value. @ '' 1 4"),
        ("[1,tru]", "Error parsing boolean value. @ '[0]' 1 6"),
        ('{"a":\n  nul}', "Error parsing null value. @ 'a' 2 5"),
        ('{"a":falsey}', "Error parsing boolean value. @ 'a' 1 10"),
        ("[undefinex]", "Error parsing undefined value. @ '' 1 9"),
        ("[Nan]", "Error parsing NaN value. @ '' 1 3"),
        ('{"a":Infinityx}', "Error parsing Infinity value. @ 'a' 1 13"),
        ("[-Infinite]", "Error parsing -Infinity value. @ '' 1 9"),
        ("[1 2]", "After parsing a value an unexpected character was encountered: 2. @ '[0]' 1 3"),
        (
            '{"a":1 "b":2}',
            "After parsing a value an unexpected character was encountered: \". @ 'a' 1 7",
        ),
        ('{"a":1,,"b":2}', "Invalid property identifier character: ,. @ 'a' 1 7"),
        ("{]", "Invalid property identifier character: ]. @ '' 1 1"),
        ("{a-b:1}", "Invalid JavaScript property identifier character: -. @ '' 1 2"),
        ("{a", "Unexpected end while parsing unquoted property name. @ '' 1 2"),
        (
            '{"a" 1}',
            "Invalid character after parsing property name. Expected ':' but got: 1. @ '' 1 5",
        ),
        (
            "{a /* c */ : 1}",
            "Invalid character after parsing property name. Expected ':' but got: /. @ '' 1 3",
        ),
        (
            '{"a"',
            "Invalid character after parsing property name. Expected ':' but got: \0. @ '' 1 4",
        ),
        ('"abc', "Unterminated string. Expected delimiter: \". @ '' 1 4"),
        ("'abc\\", "Unterminated string. Expected delimiter: '. @ '' 1 5"),
        ('{"a', "Unterminated string. Expected delimiter: \". @ '' 1 3"),
        ('{"a":"x', "Unterminated string. Expected delimiter: \". @ 'a' 1 7"),
        ('{"a":1,"b', "Unterminated string. Expected delimiter: \". @ 'a' 1 9"),
        ('"\\q"', "Bad JSON escape sequence: \\q. @ '' 1 3"),
        ('["a\\u0041\\x41"]', "Bad JSON escape sequence: \\x. @ '' 1 11"),
        ('"\\u12G4"', "Invalid Unicode escape sequence: \\u12G4. @ '' 1 3"),
        ('"\\u004', "Unexpected end while parsing Unicode escape sequence. @ '' 1 3"),
        ("[1 /* c", "Unexpected end while parsing comment. @ '[0]' 1 7"),
        ("[1 /", "Unexpected end while parsing comment. @ '[0]' 1 4"),
        ("[1 /x 2]", "Error parsing comment. Expected: *, got x. @ '[0]' 1 4"),
        ("[1.2.3]", "Input string '1.2.3' is not a valid number. @ '[0]' 1 6"),
        ("[08]", "Input string '08' is not a valid number. @ '[0]' 1 3"),
        ("[01.5]", "Input string '01.5' is not a valid number. @ '[0]' 1 5"),
        ("[0x]", "Input string '0x' is not a valid number. @ '[0]' 1 3"),
        (
            "[0x1FFFFFFFFFFFFFFFF]",
            "Input string '0x1FFFFFFFFFFFFFFFF' is not a valid number. @ '[0]' 1 20",
        ),
        ("[1e]", "Input string '1e' is not a valid number. @ '[0]' 1 3"),
        ("[-]", "Input string '-' is not a valid number. @ '[0]' 1 2"),
        ("[-0x1A]", "Input string '-0x1A' is not a valid number. @ '[0]' 1 6"),
        (
            "[-Infinity,-NaN]",
            "Unexpected character encountered while parsing number: N. @ '[0]' 1 12",
        ),
        ("[1z]", "Unexpected character encountered while parsing number: z. @ '' 1 2"),
        ("[\u00b2]", "Unexpected character encountered while parsing number: \u00b2. @ '' 1 1"),
        ("[1" + "0" * 380 + "]", f"JSON integer 1{'0' * 380} is too large to parse. @ '[0]' 1 382"),
        (
            '{"a":1}x',
            "Additional text encountered after finished reading JSON content: x. @ '' 1 7",
        ),
        (
            '{"a":1} {}',
            "Additional text encountered after finished reading JSON content: {. @ '' 1 8",
        ),
        (
            '{"a":1},',
            "Additional text encountered after finished reading JSON content: ,. @ '' 1 7",
        ),
        (
            '{"\U0001f600":1}x',
            "Additional text encountered after finished reading JSON content: x. @ '' 1 8",
        ),
        ("{} //", "Unexpected end while parsing comment. @ '' 1 4"),
    ],
    ids=lambda text: text[:60],
)
def test_invalid_json(text: str, message: str) -> None:
    expected = re.sub(r"@ (.*) (\d+) (\d+)$", r"Path \1, line \2, position \3.", message)

    assert syntax_error(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{'a':1}", "Invalid property identifier character: '."),
        ("{a:1}", "Invalid property identifier character: a."),
        ('{"a":1,}', "Invalid property identifier character: }."),
        ('{"a":[1,]}', "Unexpected character encountered while parsing value: ]."),
        ('{"a":[1,,2]}', "Unexpected character encountered while parsing value: ,."),
        ("{\"a\":'b'}", "Unexpected character encountered while parsing value: '."),
        ('{"a":/**/1}', "Unexpected character encountered while parsing value: /."),
        ('{"a":1}//b', "Unexpected character encountered while parsing value: /."),
        ('{"a":NaN}', "Unexpected character encountered while parsing value: N."),
        ('{"a":-Infinity}', "Unexpected character encountered while parsing value: -."),
        ('{"a":undefined}', "Unexpected character encountered while parsing value: u."),
        ('{"a":\u00a01}', "Unexpected character encountered while parsing value: \u00a0."),
        ('{"a":01}', "Input string '01' is not a valid number."),
        ('{"a":.5}', "Input string '.5' is not a valid number."),
        ('{"a":0x1}', "Input string '0x1' is not a valid number."),
        ('{"a":"\t"}', 'Unterminated string. Expected delimiter: ".'),
        ('{"a":"\\\'"}', "Bad JSON escape sequence: \\'."),
    ],
)
def test_extensions_of_json(text: str, reason: str) -> None:
    parse_object(text)

    assert syntax_error(text, lenient=False).startswith(f"{reason} Path '")


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize("text", ['"\\ud800"', "1" * 40, "-0.5e-3", '"\u2028"', "[[], {}, null]"])
def test_standard_json_is_read_as_by_python(lenient: bool, text: str) -> None:
    replaced = json.loads(text.replace("\\ud800", "\\ufffd"))

    assert value_of(text, lenient=lenient) == replaced


@pytest.mark.parametrize("extra", ["", ","])
def test_depth(extra: str) -> None:
    def nested(levels: int) -> str:
        return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + extra + "}"

    parse_object(nested(MAX_DEPTH))
    assert syntax_error(nested(MAX_DEPTH + 1)) == (
        f"The reader's MaxDepth of 64 has been exceeded. Path 'a{'[0]' * 63}', line 1, position 69."
    )
    parse_object('{"a":[' + "[1]," * MAX_DEPTH + "[]" + extra + "]}")


@pytest.mark.parametrize("opening", ["[", '{"a":', "[[{'b':"])
def test_very_deep_texts(opening: str) -> None:
    assert "MaxDepth of 64" in syntax_error(opening * 100_000)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
)
NAMES = st.text(max_size=5)
DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
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
    slowly_read = Reader(text, lenient=lenient).read()

    assert slowly_read is not None
    assert repr(slowly_read.plain()) == repr(json.loads(text))
    assert repr(parse_object(text, lenient=lenient).document("d")) == repr(document)
    commented = parse_object(f"{text}/* */").document("d")
    assert repr(commented) == repr(document)


@given(document=DOCUMENTS, form=FORMS, cut=st.integers(0))
def test_truncated_texts(document: dict[str, Any], form: dict[str, Any], cut: int) -> None:
    text = json.dumps({"d": document}, **form)
    message = syntax_error(text[: cut % len(text)])

    assert re.fullmatch(r"(?s).*[.\n] ?Path '.*', line \d+, position \d+\.", message)
