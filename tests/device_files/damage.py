"""Inputs of the fuzzer: device files of all formats, with random changes."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.device_files.mutations import BREAKINGS, SHA1, SHA256
from tests.device_files.strategies import SCOPE
from tests.device_files.support import KEY, OTHER_KEY, device, keys, nested
from tests.device_files.writing import BOM, FORMS, gzipped, line

MAX_BYTES = 64 * 1024 - 1

_EXPORTED: list[dict[str, Any]] = [
    {
        "id": "exported-1",
        "eTag": "MTIzNDU2",
        "status": "enabled",
        "statusReason": None,
        "authentication": {
            "symmetricKey": {"primaryKey": KEY, "secondaryKey": OTHER_KEY},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
        "twinETag": "AAAAAAAAAAE=",
        "tags": {"site": "east", "floor": 3},
        "properties": {
            "desired": {"interval": 30, "$metadata": {"$lastUpdated": "2026"}, "$version": 4},
            "reported": {"any.thing": None, "$version": 1},
        },
        "capabilities": {"iotEdge": True},
        "deviceScope": SCOPE,
        "parentScopes": [SCOPE],
    },
    {
        "id": "exported-2",
        "status": "disabled",
        "authentication": {
            "symmetricKey": {"primaryKey": None, "secondaryKey": ""},
            "x509Thumbprint": {"primaryThumbprint": SHA1, "secondaryThumbprint": ""},
            "type": "selfSigned",
        },
        "tags": None,
        "properties": None,
        "capabilities": {"iotEdge": False},
    },
]
_MIXED: list[dict[str, Any]] = [
    *_EXPORTED,
    device(id="a", importMode="create", tags={"a": [1, {"b": 1.5e-7}, ["c", True]], "": ""}),
    device(id="b", importMode="updateTwin", tags={"a": None, "ä": "\U0001f600\u0085"}),
    device(id="c", importMode="updateIfMatchETag", eTag='"x"', statusReason="ein Grund: ä"),
    device(id="d", importMode="delete"),
    device(id="e:f", properties={"desired": nested(9, 2**52 - 1)}, deviceScope="gateway"),
    {"id": "g", "status": "enabled", "authentication": {"type": "certificateAuthority"}},
    {"id": "h", "status": "enabled", "generationId": "7", "surprise": {"a": [None]}},
    {"Id": "i", "STATUS": "Enabled", "authentication": keys()},
    {
        "moduleId": "m",
        "id": "a",
        "status": "enabled",
        "authentication": {"type": "none", "x509Thumbprint": None},
    },
    device(id="j", authentication={"x509Thumbprint": {"primaryThumbprint": SHA256}}),
]


#: Number of valid lines after which the fast path applies.
_MANY = 28


def _alike(count: int, **members: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"pump-{n}", "status": "enabled", **members, "statusReason": f"{n}"}
        for n in range(count)
    ]


_CERTIFIED = {"type": "certificateAuthority"}
_FLEETS: list[list[dict[str, Any]]] = [
    _MIXED,
    _alike(
        _MANY,
        authentication=_CERTIFIED,
        tags={"site": "east", "n": 1},
        properties={"desired": {"on": True, "t": "ä"}},
    ),
    [
        *({"id": f"d{n}", "status": "enabled"} for n in range(_MANY // 2)),
        *({"id": f"d{n}", "moduleId": "m", "status": "enabled"} for n in range(_MANY // 2)),
        *({"moduleId": "w", "id": f"d{n}", "status": "enabled"} for n in range(6)),
    ],
    _alike(4, tags={"k" * 1000: "", "l" * 1000: "v" * 3000, "m": "v" * 3100}),
    _alike(4, properties={"desired": {f"n{n}": "v" * 30 for n in range(20)}}),
]


def _broken_lines() -> Iterator[bytes]:
    """Files of up to eight invalid lines after a valid one."""
    broken = [line(breaking.of(device(id=f"broken-{n}"))) for n, breaking in enumerate(BREAKINGS)]
    for start in range(0, len(broken), 8):
        yield b"\n".join([line(_EXPORTED[0]), *broken[start : start + 8]])


_OTHERS = [
    b"",
    BOM,
    b"\n \r\n\t\n",
    b"// a comment\n" + line(_EXPORTED[0]) + b"\n/* of\n" + line(_EXPORTED[1]) + b"\nlines */\n",
    b"[ // a comment\n" + line(_EXPORTED[0]) + b",/**/\n" + line(_EXPORTED[1]) + b"\n# end\n]\n",
    BOM + BOM + line(_EXPORTED[0]) + b"\n\xe2\x80\x8b" + line(_EXPORTED[1]) + b"\xc2\xa0\n",
    b'{"count":2,"devices":[\n' + b",\n".join(map(line, _EXPORTED)) + b'],\n"nextLink":null}',
    json.dumps({"value": _EXPORTED}, indent=1).encode(),
    json.dumps({"devices": {"a": {"twin": {}}}, "configurations": {}}).encode(),
    json.dumps([{"deviceId": "a", "etag": "b", "version": 2}], indent=2).encode(),
    line(_EXPORTED[0]) + b"\r" + line(_EXPORTED[1]) + b"\r",
    line(_EXPORTED[0]) + b"\n" + bytes(500),
    b"sep=;\r\nid;status\r\npump-1;enabled\r\n",
    b'#TYPE System.Object\r\n"id", "status"\r\n"pump-1", "enabled"\r\n// no row,\r\n',
    b"Fleet east,,\n\nid,status,tags.note\npump-1,enabled,x\n",
    b'id|status|tags.note\npump-1|enabled|"x\npump-2|enabled|y"\n# a comment||\n',
    b'"id,status"\n"pump-1,enabled"\n',
    b"id,status,tags.a\np,enabled,x\n#TYPE X\n\xef\xbb\xbfid,status,tags.a\n#q,enabled,y\n\x1a",
    b'id,status,tags.a\npump-1,enabled,"x\npump-2,enabled\npump-3,enabled,y"\n/* z */\n \n',
    b'tags:json,id,status\n{"a":1},pump-1,enabled\n{"a":2},pump-2,enabled\n',
    line(_EXPORTED[0])[:-1]
    + b" /* x\n"
    + line(_EXPORTED[1])
    + b"\n*/ }\n"
    + line(_EXPORTED[1])
    + b"#x\n",
    json.dumps({"data": {"devices": _EXPORTED}}, indent=1).encode(),
    json.dumps({"meta": {"a": 1}, "device-list": _EXPORTED, "count": 3, "hasMore": True}).encode(),
    b"\n" * 9000 + b"# x\n" * 100 + line(_EXPORTED[0]),
    "\u2028".encode().join(map(line, _EXPORTED)),
    line(_EXPORTED[0]) + b"\n" + bytes(500) + b"\n\x1a",
    b"\x1c\0\0\0\x02id\0\x07\0\0\0pump-1\0\0" * 50,
    b"[]",
    b"[\n]\n",
    b"id,status\n",
    b"id;status;importMode\r\npump-1;enabled;create\r\npump-2;;\r\n",
    b"id,status\rpump-1,enabled\r",
    b'Id\tstatus\ttags.a:number\ttags.b:boolean\n"x"\tenabled\t1e3\ttrue\n',
    b'id,status,tags:json\np,enabled,"{""a"":""x\ny"",\n""b"":[1]}"\nq,enabled,\n',
    b"Keys were left out of this export.\n" + b"\n".join(map(line, _EXPORTED)),
    b"\n".join(json.dumps(member, indent=1).encode() for member in _MIXED[:4]),
    b"".join(map(line, _MIXED)),
    *_broken_lines(),
    b"\n".join(map(line, _MIXED)).decode().encode("utf-16"),
    b"\n".join(map(line, _MIXED)).decode().encode("utf-16-le"),
    b"\n".join(map(line, _MIXED)).decode().encode("cp1252", "replace"),
    b'{"id":"x","status":"enabled","tags":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
    b'{"id":"x","Status":"enabled","properties":{"reported":'
    + b'{"a":' * 980
    + b'"\\u0041"'
    + b"}" * 982,
    b'{"id":"' + b"x" * 5000 + b'"}\n' + line(_MIXED[2]),
    b'[{"id":"' + b"x" * 9000 + b'"},' + line(_MIXED[2]) + b"]",
    b"id,status,tags.a\nx,enabled," + b"y" * 9000 + b"\nz,enabled,\n",
]
_GZIPPED = [
    *(gzipped(form(_MIXED)).data for form in FORMS.values()),
    gzip.compress(b"\n" * (2 << 20), mtime=0),
    gzip.compress(b"[" + b" " * (2 << 20) + b"]", mtime=0),
    gzip.compress(b"\0" * (1 << 20), mtime=0),
]

_TOKENS = [
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"01", b"9" * 20, b"9" * 5000, b"1.5E+3", b"null"),
    *(b"true", b"True", b"undefined", b'""', b"''", b"{}", b"[]", b"[null]", b"{", b"}", b"["),
    *(b"]", b",", b":", b'"', b"\\", b"//", b"/*", b'\\"', b"\\u0000", b"\\ud800", b"\\udc00"),
    *(b"\\ud83d\\ude00", b"\\u002e", b"\\/", b"\0", b"\n", b"\r", b"\r\n", b"\t", b"\x0b", b"\x0c"),
    *(b"\x1a", b"\x7f", b"\x80", b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xc2\x85"),
    *("\u2028".encode(), "\u00a0".encode(), "\u212a".encode(), "\u0130".encode(), b"\x1f\x8b"),
    *(BOM, b"\xff\xfe", b";", b" ", b".", b"$", b"#", b"..", b":json", b":number", b":boolean"),
    *(b"\n// ", b"\n/* ", b"*/", b"\n# ", b"\nsep=,\n", b"#TYPE x\n", b"|", b', "', b"\0" * 600),
    *("\u200b".encode(), b'{"value":[', b"],", b'"nextLink":', b'"deviceId":"a","version":1,'),
    *(b'"id":"a"', b'"ID":"a",', b'"moduleId":"m",', b'"moduleId":"$edgeHub",', b'"tags":null,'),
    *(b'"importMode":"delete",', b'"importMode":"updateTwin",', b'"status":"Disabled",'),
    *(b'"type":"none",', b'"eTag":"",', b'"$version":1,', b'"a":null,', b'"a b":1,', b'{"a":'),
    *(b"[{", b"}]", b"},", b"tags.", b"tags.a", b"properties.desired", b"deviceId", b"x" * 130),
    *(b"a" * 4100, b"[" * 1100, b'{"a":' * 12, b"\xc3\xa4" * 2050, KEY.encode(), SHA1.encode()),
]


_SEEDS = [form(fleet).data for form in FORMS.values() for fleet in _FLEETS] + _OTHERS


Change = Callable[[random.Random, bytearray], None]


def _place(rng: random.Random, data: bytearray) -> int:
    """A random position, more often near a syntax character."""
    place = rng.randint(0, len(data))
    if rng.random() < 0.5:
        positions = [data.find(sign, place) for sign in (b'"', b",", b":", b"{", b"\n")]
        place = min((place for place in positions if place >= 0), default=place)
        place += rng.randint(0, 1)
    return place


def _slice(rng: random.Random, data: bytearray) -> slice:
    start = _place(rng, data)
    return slice(start, start + rng.choice((1, 2, 5, 20, 100, 1000)))


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _insert(rng: random.Random, data: bytearray) -> None:
    place = _place(rng, data)
    data[place:place] = rng.choice(_TOKENS)


def _replace_value(rng: random.Random, data: bytearray) -> None:
    """Replace the bytes between a colon and the next comma."""
    start = data.find(b":", rng.randint(0, len(data))) + 1
    end = data.find(b",", start)
    if 0 < start < end:
        data[start:end] = rng.choice(_TOKENS)


def _replace_text(rng: random.Random, data: bytearray) -> None:
    """Replace the bytes between two quotes."""
    start = data.find(b'"', rng.randint(0, len(data))) + 1
    end = data.find(b'"', start)
    if 0 < start <= end:
        data[start:end] = rng.choice(_TOKENS)


def _delete(rng: random.Random, data: bytearray) -> None:
    del data[_slice(rng, data)]


def _duplicate(rng: random.Random, data: bytearray) -> None:
    copied = data[_slice(rng, data)]
    place = _place(rng, data)
    data[place:place] = copied * rng.choice((1, 1, 2, 50))


def _move(rng: random.Random, data: bytearray) -> None:
    moved_slice = _slice(rng, data)
    moved = data[moved_slice]
    del data[moved_slice]
    place = _place(rng, data)
    data[place:place] = moved


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _splice(rng: random.Random, data: bytearray) -> None:
    other = rng.choice(_SEEDS)
    data[_place(rng, data) :] = other[rng.randint(0, len(other)) :]


def _swap_lines(rng: random.Random, data: bytearray) -> None:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    data[:] = b"\n".join(lines)


_CHANGES: tuple[Change, ...] = (
    *(_flip, _set, _insert, _insert, _replace_value, _replace_text, _replace_text),
    *(_delete, _duplicate, _move, _truncate, _splice, _swap_lines),
)
#: Changes that mostly keep the JSON valid, so that its content is checked.
_CONTENT_CHANGES: tuple[Change, ...] = (_replace_value, _replace_text, _swap_lines)


def damaged(rng: random.Random) -> bytes:
    """A randomly changed seed, possibly compressed and changed again."""
    if rng.random() < 0.03:
        return _changed(rng, rng.choice(_GZIPPED))
    data = _changed(rng, rng.choice(_SEEDS))
    if rng.random() < 0.1:
        data = _quickly_gzipped(data)
        if rng.random() < 0.3:
            data = _changed(rng, data)
    return data


def _changed(rng: random.Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    changes = _CONTENT_CHANGES if rng.random() < 0.4 else _CHANGES
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 8))):
        rng.choice(changes)(rng, data)
        del data[MAX_BYTES:]
    return bytes(data)


def _quickly_gzipped(data: bytes) -> bytes:
    """Compress at the lowest level: compression would otherwise take most of the time."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()
