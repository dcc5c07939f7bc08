"""Exports: whole ones are read in any pieces, damaged ones are refused by line, without secrets."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plan import snapshot as snapshot_module
from shared.plan.entries import read_entry
from shared.plan.snapshot import ExportError, Snapshot, export_lines
from tests.plan.outcome import AS_OF

KEY = "bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
NOTE = b"The keys of the devices are not part of this export.\n"


def device(id_: str, **members: Any) -> dict[str, Any]:
    authentication = {"type": "sas", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}
    return {
        **{"id": id_, "eTag": "MQ==", "status": "enabled", "authentication": authentication},
        **{"twinETag": "AAAAAAAAAAE=", "tags": {"site": "Süd"}},
        **members,
    }


def text(*lines: Any) -> bytes:
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()) + b"\n"
        for line in lines
    )


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


EXPORT = text(device("a"), device("a", moduleId="m"), device("b", tags={"é": 1}))
ZIPPED = zipped(EXPORT[:100]) + zipped(b"") + zipped(EXPORT[100:])


def read(chunks: Iterable[bytes], wanted: Any = "ab") -> Snapshot:
    snapshot = Snapshot(AS_OF, has_keys=True)
    snapshot.read_export(export_lines(chunks), wanted.__contains__)
    return snapshot


def refusal(data: bytes) -> str:
    with pytest.raises(ExportError) as caught:
        read([data])
    message = str(caught.value)
    assert KEY[:8] not in message
    return message


@pytest.mark.parametrize(
    "data",
    [EXPORT, ZIPPED, zipped(b"\xef\xbb\xbf" + EXPORT)],
    ids=["plain", "members", "mark"],
)
@given(cuts=st.lists(st.integers(0, len(EXPORT)), max_size=8))
def test_an_export_is_read_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    with read(data[start:end] for start, end in itertools.pairwise(edges)) as snapshot:
        assert (snapshot.devices, snapshot.identities, snapshot.has_keys) == (2, 3, True)
        assert snapshot.find("b") == read_entry(text(device("b", tags={"é": 1})))[1]
        assert snapshot.find("a", "m") is not None
        assert (snapshot.modules("a"), snapshot.modules("b")) == (1, 0)


def test_only_wanted_devices_are_kept() -> None:
    with read([EXPORT], wanted="b") as snapshot:
        assert (snapshot.devices, snapshot.identities) == (2, 3)
        assert [snapshot.has_device(id_) for id_ in ("a", "b")] == [False, True]
        assert snapshot.find("a", "m") is None


def test_a_device_is_looked_up_again() -> None:
    with read([EXPORT]) as snapshot:
        snapshot.add(*read_entry(text(device("a", eTag="Mg=="))))
        found = snapshot.find("a")
        assert found is not None
        assert (found.etag, snapshot.modules("a")) == ("Mg==", 1)
        snapshot.remove("a")
        assert snapshot.find("a") is snapshot.find("a", "m") is None
        snapshot.add(*read_entry(text(device("a"))))
        assert (snapshot.has_device("a"), snapshot.modules("a")) == (True, 0)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_an_export_without_keys_begins_with_a_sentence(ending: bytes) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        with read([mark + (NOTE + EXPORT).replace(b"\n", ending)]) as snapshot:
            assert (snapshot.identities, snapshot.has_keys) == (3, False)


@pytest.mark.parametrize("data", [b"", b"\n", zipped(b"")], ids=["empty", "blank", "gzip"])
def test_a_hub_without_devices(data: bytes) -> None:
    with read([data]) as snapshot:
        assert (snapshot.devices, snapshot.identities) == (0, 0)


def test_the_last_line_may_have_no_end() -> None:
    with read([EXPORT.rstrip()]) as snapshot:
        assert snapshot.has_device("b")


@pytest.mark.parametrize("end", range(1, 40))
def test_a_cut_line_is_refused(end: int) -> None:
    assert "Line 3 " in refusal(EXPORT[: -1 - end])


@pytest.mark.parametrize("cut", [1, 8, 9, 20])
def test_a_cut_gzip_file_is_refused(cut: int) -> None:
    assert "gzip" in refusal(zipped(EXPORT)[:-cut])


def test_a_damaged_gzip_file_is_refused() -> None:
    data = bytearray(zipped(EXPORT * 50))
    data[len(data) // 2] ^= 0xFF
    assert "gzip" in refusal(bytes(data))


@pytest.mark.parametrize(
    "line",
    [
        b'"status":"enabled","authentication":{"symmetricKey":{"primaryKey":"%s"}}}' % KEY.encode(),
        text(device("b"))[:-1].replace("ü".encode(), b"\xfc"),
        text(device("b"))[:-1].replace("ü".encode(), b"\\ud800"),
        text(device("b", status=KEY, eTag="")),
        text(device("b", eTag=None)),
        text(device("b", tags=[KEY])),
        text(device("b", properties=KEY)),
        text(device("b", authentication={"type": {KEY: 1}})),
        text(device("b", properties={"desired": KEY})),
        text({KEY: device("b")}),
        b'{"id":"b","eTag":"1","x":' + b"[" * 100_000,
        b'{"id":"b","eTag":"1","tags":{"a":1e999}}',
        b"[" + text(device("b")),
        b"\0" * 100,
        text(device("b")).decode().encode("utf-16"),
        KEY.encode(),
    ],
)
def test_a_damaged_line_is_refused_without_its_content(line: bytes) -> None:
    assert "Line 2 " in refusal(text(device("a")) + line)


def test_a_damaged_first_line_is_no_sentence() -> None:
    assert "Line 1 " in refusal(EXPORT[10:])


def test_unknown_values_of_other_devices_do_not_matter() -> None:
    odd = device("other", status="paused", authentication={"type": "quantum"}, unknown=[1])
    with read([text(device("a"), odd)]) as snapshot:
        assert snapshot.devices == 2


def test_a_line_has_a_maximum_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "_MAX_LINE_BYTES", 1000)
    endless = zipped(text(device("a")) + b"x" * 2000)
    assert "Line 2 " in refusal(endless)


def test_a_gzipped_file_is_unpacked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "_BLOCK_BYTES", 7)
    with read([ZIPPED]) as snapshot:
        assert snapshot.identities == 3


@given(position=st.integers(0, len(EXPORT) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_never_an_unexpected_error(position: int, value: int) -> None:
    data = bytearray(EXPORT)
    data[position] = value
    messages = []
    try:
        read([bytes(data)]).close()
    except ExportError as error:
        messages.append(str(error))
    assert not [message for message in messages if KEY[:8] in message]


def test_progress() -> None:
    seen: list[int] = []
    lines = [text(device(f"d{number}")).rstrip() for number in range(2500)]
    with Snapshot(AS_OF, has_keys=True) as snapshot:
        snapshot.read_export(lines, lambda _: True, seen.append)
    assert seen == [1000, 2000, 2500]
