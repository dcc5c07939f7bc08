"""The fast path accepts only lines that the rules accept, and gives the same result."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.device_files import validation
from shared.device_files.limits import Limits
from shared.device_files.lines import device_line, fast_path
from shared.device_files.lines.device_line import DeviceLine
from shared.device_files.lines.twin import DESIRED_BYTES, TAGS_BYTES
from shared.device_files.lines.values import ImportMode
from shared.device_files.validation import Validation
from tests.device_files import fuzz, strategies, writing
from tests.device_files.mutations import BREAKINGS, CONNECTION_STRING, SHA1, SHA256
from tests.device_files.strategies import SCOPE
from tests.device_files.support import KEY, device, keys

Device = dict[str, Any]

_SETTINGS = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
#: Number of lines after which the property names of a form are known.
_LEARNING_LINES = fast_path.BLOCK_LINES


def counts(finished: Validation) -> Counter[str]:
    report = finished.report
    totals = Counter({"lines": report.lines, "valid": report.valid})
    totals.update({f"mode {mode}": count for mode, count in report.modes.items()})
    totals.update({f"type {kind}": count for kind, count in report.authentication_types.items()})
    return totals


def validated(file: bytes) -> tuple[object, ...]:
    """The complete validation result of a file."""
    finished = Validation(Limits(max_problems=10_000))
    with fuzz.time_limit():
        staged = b"".join(finished.run([file])).split(b"\n")
    numbers = [finished.lines.upload_line(n + 1) for n in range(finished.report.valid)]
    return staged, finished.report.problems, counts(finished), numbers


def validated_without_fast_path(file: bytes) -> tuple[object, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path.FastPath, "read", lambda _, texts: [None] * len(texts))
        return validated(file)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def with_raw(device: Device, index: int, raw: str) -> bytes:
    """The line with raw text in place of one value."""
    leaves = itertools.count()
    return rendered(device, lambda value: raw if next(leaves) == index else as_json(value)).encode()


def with_text(value: Any, text: str) -> Any:
    """The value with all strings replaced."""
    if isinstance(value, dict):
        return {name: with_text(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [with_text(item, text) for item in value]
    return text if isinstance(value, str) else value


def doubled(device: Device) -> Iterator[bytes]:
    """Lines in which a property occurs twice, once with an escaped name."""
    line = rendered(device, as_json)
    for member in re.finditer(r'("(?:[^"\\]|\\.)*"): ([^{\[,}]+)', line):
        for is_ascii in (False, True):
            name = json.dumps(json.loads(member[1]), ensure_ascii=is_ascii)
            start, rest = line[: member.start()], line[member.start() :]
            yield f"{start}{name}: {member[2]}, {rest}".encode()


def learned(base: Device, number: int) -> bytes:
    """A line of the form, with a section of varying size."""
    line = {**base, "id": f"learned-{number}"}
    tags = line.get("tags")
    if tags and number > _LEARNING_LINES // 2:
        names = [*tags][number % 3 :] if number % 2 else [*tags][::-1]
        line["tags"] = {name: tags[name] for name in names}
    return json.dumps(line, ensure_ascii=number % 4 == 0).encode()


def thumbprints(primary: str, secondary: str) -> Device:
    return {"primaryThumbprint": primary, "secondaryThumbprint": secondary}


def rendered(value: Any, leaf: Callable[[Any], str]) -> str:
    """JSON whose scalars are rendered by `leaf`."""
    if isinstance(value, dict) and value:
        members = (f"{as_json(name)}: {rendered(item, leaf)}" for name, item in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list) and value:
        return "[" + ", ".join(rendered(item, leaf) for item in value) + "]"
    return leaf(value)


def _key(size: int) -> str:
    return base64.b64encode(b"k" * size).decode()


#: Raw bodies of JSON strings, valid and invalid.
_MEANT_TEXTS = [
    *("", "pump-2", "a b", "a+b", "a:b", "$edgeAgent", "x" * 128, "x" * 129, "ä", SCOPE, "gateway"),
    *("enabled", "disabled", "Enabled", "on", *ImportMode, "sas", "selfSigned", "none", "SAS"),
    *("NULL", "@{a=1}", "System.Object[]", "8.9E+19", "#N/A", "3-Jan", "1001.0", "TRUE"),
    *("8.9e+19", "8.965E19", "#WERT!", "#¡VALOR!", "#NÚM!", "#NV", "nil", "1-Mrz", "WAHR"),
    *("\\\\N", "\\\\\\\\N", "C:\\\\N", "Newtonsoft.Json.Linq.JObject", "com.A@1b6d3586", "com.A"),
    *("[Ljava.lang.String;@1b6d3586", "<A object at 0x7f>", "Microsoft.Azure.Commands.A"),
    *(CONNECTION_STRING, f"{'Bc9/' * 21}Bc==", "a;b", "x" * 43, "x" * 44),
    *("certificateAuthority", KEY, KEY[:-1], _key(15), _key(16), _key(64), _key(65), SHA1, SHA256),
    *(
        SHA1[1:],
        "g" * 40,
        "y" * 1000,
        "y" * 4096,
        "y" * 4097,
        "ä" * 2048,
        "ä" * 129,
        "\U0001f600" * 33,
        "\\/" * 100,
    ),
]
_PIECES = [
    *(
        "\\n",
        "\\/",
        "\\/\\/\\/",
        "\\u0041",
        "\\u0000",
        "\\ud800",
        "\\ud83d\\ude00",
        "\\uD83D",
        "\\u00e4",
        '\\"',
    ),
    *(
        "\\x",
        "\\",
        '"',
        "\t",
        "\0",
        "\x7f",
        "\x85",
        "ä",
        "\U0001f600",
        "a",
        " ",
        "\u2028",
        "x" * 500,
    ),
]
raw_texts = st.sampled_from(_MEANT_TEXTS) | st.lists(
    st.sampled_from(_PIECES) | strategies.texts(8), max_size=6
).map("".join)
_NUMBERS = [
    *("0", "-0", "01", "1.", ".5", "+1", "1.5", "1e5", "1E400", "-1e-400", "NaN", "-Infinity"),
    *("4503599627370495", "4503599627370496", "-4503599627370497", "999999999999999", "9" * 5000),
    *("0." + "1" * 15, "0." + "1" * 16, "1" * 15 + ".0", "1" * 400),
]
_OTHERS = ["true", "false", "null", "{}", "[]"]
raw_numbers = st.sampled_from(_NUMBERS) | st.integers().map(str)


@st.composite
def like(draw: st.DrawFn, base: Device) -> bytes:
    """A line of the same form, with values replaced by others of the same JSON type."""
    share = draw(st.sampled_from([1, 3, 10]))

    def leaf(value: Any) -> str:
        if value in (None, {}, []) or draw(st.integers(1, share)) > 1:
            return as_json(value)
        if isinstance(value, bool):
            return draw(st.sampled_from(["true", "false"]))
        if isinstance(value, str):
            return f'"{draw(raw_texts)}"'
        return draw(raw_numbers)

    return rendered(base, leaf).encode()


_edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete"]),
        st.integers(0, 5000),
        st.sampled_from(b'\0\t\r "\\,:{}[]0a-.\x7f\x80\xc3\xff'),
    ),
    max_size=2,
)


def edited(line: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    data = bytearray(line)
    for kind, place, byte in edits:
        place %= len(data) + 1
        match kind:
            case "insert":
                data.insert(place, byte)
            case "set":
                data[place : place + 1] = bytes([byte])
            case _:
                del data[place : place + 1]
    return bytes(data)


def section(size: int, text_bytes: int) -> dict[str, str]:
    """A section of `size` bytes of names and strings."""
    members: dict[str, str] = {}
    while size > 0:
        name = f"{len(members):03}".ljust(3 if text_bytes else 1000, "n")[:size]
        members[name] = "t" * min(text_bytes, size - len(name))
        size -= len(name) + len(members[name])
    return members


@st.composite
def almost_full(draw: st.DrawFn) -> Device:
    left, text_bytes = draw(st.integers(0, 60)), draw(st.sampled_from([0, 5, 30, 1000, 4000]))
    if draw(st.booleans()):
        return device(tags=section(TAGS_BYTES - left, text_bytes))
    return device(properties={"desired": section(DESIRED_BYTES - left, text_bytes)})


_bases = st.one_of(
    strategies.devices(),
    st.builds(lambda base: base | {"surprise": {"id": "x", "n": 1}}, strategies.devices()),
)


def _full(**members: Any) -> Device:
    return {
        **device(statusReason="new", eTag="x", twinETag="x", importMode="create"),
        "tags": {
            "ä": "x",
            "b": 1,
            "c": True,
            "d": ["]", 2.5, "x", True],
            "e": {"ä": "x"},
            "f": "",
        },
        "properties": {"desired": {"a": "x", "b": {"c": -1}}, "reported": {"a": "x", "b": [None]}},
        "capabilities": {"iotEdge": True},
        "deviceScope": SCOPE,
        "managedBy": "x",
        "attributes": {"a": 1, "b": ["x", None]},
        "adrDeviceProperties": {"uuid": "x", "systemData": {"createdBy": "x"}},
        "deviceResourceId": "x",
        "armSyncStatus": "x",
        **members,
    }


_POLICY = {"policyResourceId": "/subscriptions/x", "x509CaValidation": {"mode": "x"}}
_UNUSED = {"primaryThumbprint": None, "secondaryThumbprint": ""}
_METADATA = {"$lastUpdated": "2026-01-02T03:04:05Z", "a": {"$lastUpdatedVersion": 2}}
#: Valid lines that the fast path accepts.
_FAST_FORMS: list[Device] = [
    device(),
    _full(),
    _full(importMode="updateIfMatchETag", statusReason=None, deviceScope=None, capabilities=None),
    _full(importMode="updateTwinIfMatchETag", authentication=None),
    _full(importMode="delete", authentication=None, tags=None, properties=None),
    _full(authentication={**keys(), "x509Thumbprint": _UNUSED}, importMode=None),
    _full(authentication={"type": "selfSigned", "x509Thumbprint": thumbprints(SHA1, SHA1)}),
    _full(authentication={"type": "selfSigned", "x509Thumbprint": thumbprints(SHA256, "")}),
    device(authentication={"type": "certificateAuthority", "x509Thumbprint": _UNUSED}),
    device(authentication={"type": "certificateAuthority", **_POLICY}),
    device(
        eTag="MQ==",
        properties={
            "desired": {"a": 1, "$metadata": _METADATA, "$version": 3},
            "reported": {"$metadata": _METADATA, "$version": 1},
        },
    ),
]
_FORMS: list[Device] = [
    *_FAST_FORMS,
    _full(surprise={"id": "x", "n": 1}),
    {"moduleId": "m", **_full(capabilities=None), "authentication": {"type": "none"}},
    _full(deviceScope=SCOPE, parentScopes=[SCOPE], importMode="updateIfMatchETag"),
    _full(authentication={"x509Thumbprint": thumbprints(SHA256, "")}, importMode=None),
    _full(importMode="updateTwin", tags={"a": None}),
]
#: Forms near a size limit: their strings must not all grow.
_LARGE_FORMS: list[Device] = [
    device(tags=section(TAGS_BYTES, 0)),
    device(tags=section(TAGS_BYTES - 1, 2000), statusReason=""),
    device(tags={str(n): "x" for n in range(12)}),
    device(properties={"desired": {str(n): {"a": "x"} for n in range(40)}}),
]


#: All strings that violate a rule, including rules added later.
_BROKEN_TEXTS = sorted(
    {
        json.dumps(value)
        for breaking in BREAKINGS
        for value in breaking.changes.values()
        if isinstance(value, str)
    }
)


@pytest.mark.parametrize(
    "section",
    [
        '"tags":{"a":{"\\u0024metadata":1}}',
        '"tags":{"\\u0024version":1,"a":{"$version":1}}',
        '"tags":{"a":1,"\\u0061":2}',
        '"id":"a\\nb"',
        '"id":"a\\u000ab"',
        '"id":"\\n"',
        '"tags":{"a":"x\\u003ay","\\u0061":2}',
        '"tags":{"a":"NUL\\u004c","b":["\\u004eULL"]}',
        '"tags":{"a":"SharedAccessKey\\u003d1\\u003bb","b":"x\\u0026sig=1"}',
        '"properties":{"desired":{"$metadata":{"a":{"$lastUpdated":"2026"}},"a":{"$metadata":1}}}',
    ],
)
def test_escaped_problems_are_reported(section: str) -> None:
    lines = [device(id=f"pump-{n}", tags={"a": {"b": 1}}) for n in range(_LEARNING_LINES)]
    own = b"" if '"id"' in section else b'"id":"last",'
    line = b'{%s"status":"enabled","importMode":"create",%s}' % (own, section.encode())
    file = b"\n".join([*map(writing.line, lines), line])
    assert validated(file) == validated_without_fast_path(file)


@pytest.mark.parametrize("start", ["", '"tags":', '"properties":{"reported":', '"surprise":'])
def test_deeply_nested_lines(start: str) -> None:
    deep = b'{"id":"a","status":"enabled",' + start.encode() + b'{"a":' * 100_000
    for line in (deep, deep + b"1" + b"}" * 100_002, b"[" * 100_000):
        assert validated(line) == validated_without_fast_path(line)


@pytest.mark.parametrize(
    "section",
    [
        b'"properties":{"reported":{"a":[%s]}}' % b",".join([b'"@{"'] * 50_000),
        b'"attributes":{%s}' % b",".join(b'"a%d":"@{"' % n for n in range(20_000)),
        b",".join(b'"tags.a%d":1' % n for n in range(20_000)),
    ],
)
def test_validation_takes_linear_time(section: bytes) -> None:
    with fuzz.time_limit():
        b"".join(Validation().run([b'{"id":"a","status":"enabled",%s}' % section]))


@pytest.mark.slow
@pytest.mark.parametrize("base", _FORMS + _LARGE_FORMS)
def test_the_fast_path_rejects_every_invalid_value(base: Device) -> None:
    """Replace each value of a known form by each other value, and all strings at once."""
    assert rendered(base, as_json) == as_json(base)
    lines = [learned(base, number) for number in range(_LEARNING_LINES)]
    lines += doubled({**base, "id": "next"})
    raw_values = [*(f'"{text}"' for text in (*_MEANT_TEXTS, *_PIECES)), *_NUMBERS, *_OTHERS]
    raw_values += _BROKEN_TEXTS
    for index in range(min(16, rendered(base, lambda _: "?").count("?"))):
        for raw in raw_values:
            lines.append(with_raw({**base, "id": f"next-{len(lines)}"}, index, raw))
    for text in _MEANT_TEXTS:
        grown: Device = {
            name: with_text(base[name], text) for name in ("tags", "properties") if name in base
        }
        lines.append(writing.line({**base, "id": f"next-{len(lines)}", **grown}))
    assert validated(b"\n".join(lines)) == validated_without_fast_path(b"\n".join(lines))


@pytest.mark.slow
@settings(_SETTINGS, max_examples=120)
@given(st.data(), _bases | _bases | almost_full())
def test_the_fast_path_agrees_with_the_rules(data: st.DataObject, base: Device) -> None:
    lines = [learned(base, number) for number in range(_LEARNING_LINES)]
    for _ in range(5):
        line = data.draw(like({**base, "id": f"next-{len(lines)}"}))
        lines.append(edited(line, data.draw(_edits)))
    assert validated(b"\n".join(lines)) == validated_without_fast_path(b"\n".join(lines))


_DEEP = b'{"id":"a","status":"enabled","tags":' + b'{"a":' * 9999
_BROKEN_LINES = [b"", b"{", b"}", b"x", b" \t", b'{"a":[', _DEEP, b"[" * 9999]


@pytest.mark.slow
@settings(_SETTINGS, max_examples=100)
@given(st.data())
def test_whole_files_validate_the_same_without_the_fast_path(data: st.DataObject) -> None:
    """Include checks across lines: duplicates, devices of modules, objects over several lines."""
    bases = data.draw(st.lists(_bases, min_size=1, max_size=3))
    ids = st.sampled_from("abcdefgh")
    lines = [learned(base, number) for base in bases for number in range(_LEARNING_LINES)]
    for _ in range(data.draw(st.integers(0, 12))):
        base = data.draw(st.sampled_from(bases))
        module = {"moduleId": data.draw(ids)} if base.get("moduleId") else {}
        lines.append(rendered({**base, "id": data.draw(ids), **module}, json.dumps).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        broken_line = data.draw(st.sampled_from([*_BROKEN_LINES, *lines[:3]]))
        lines.insert(data.draw(st.integers(0, len(lines))), broken_line)
    line_end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    file = line_end.join(lines)
    assert validated(file) == validated_without_fast_path(file)


def test_warnings_of_a_line_with_a_duplicate_id() -> None:
    lines = [
        writing.line({"id": f"pump-{n}", "status": "enabled"}) for n in range(2 * _LEARNING_LINES)
    ]
    file = b"\n".join([*lines, lines[-1]])
    assert validated(file) == validated_without_fast_path(file)


@pytest.mark.parametrize(
    ("base", "options"),
    [
        *((form, {}) for form in _FAST_FORMS),
        (_FAST_FORMS[0], {"line_end": b"\r\n"}),
        (_FAST_FORMS[1], {"start": writing.BOM}),
        (device(tags={"site": "Zürich-Süd", "ß": True}), {}),
        (device(properties={"desired": {str(n): "x" * 500 for n in range(8)}}), {}),
    ],
)
def test_lines_of_one_form_take_the_fast_path(
    base: Device, options: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0

    def check_line(*args: Any) -> DeviceLine:
        nonlocal checked
        checked += 1
        return device_line.check_line(*args)

    monkeypatch.setattr(validation, "check_line", check_line)
    status = itertools.cycle(["enabled", "disabled"])
    lines = [{**base, "id": f"pump-{n}", "status": next(status)} for n in range(1000)]
    finished = Validation(Limits(max_deletes=1000))
    staged = b"".join(finished.run([writing.ndjson(lines, **options).data]))
    assert staged == b"".join(writing.line(line) + b"\n" for line in lines)
    assert finished.report.errors == 0
    assert checked <= _LEARNING_LINES
