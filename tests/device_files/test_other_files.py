"""Files of other tools: rejected with their kind, or read if no data is lost."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.device_files.formats.byte_stream import without_padding
from shared.device_files.formats.foreign import completed, foreign_kind
from shared.device_files.limits import Limits
from tests.device_files import writing
from tests.device_files.support import (
    KEY,
    Dropped,
    cut,
    device,
    file_problems,
    keys,
    ndjson,
    validate_file,
)
from tests.device_files.writing import small_pieces

ONE, TWO = device(id="w1"), device(id="w2", tags={"site": "east"})


def messages(data: bytes, **options: Any) -> list[tuple[str, str]]:
    """Code and message of each problem."""
    _, validation = validate_file(data, **options)
    return [(problem.code, problem.message) for problem in validation.report.problems]


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, ndjson(ONE))
    return file.getvalue()


def tarred(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        info = tarfile.TarInfo("devices.txt")
        info.size = 1000
        archive.addfile(info, io.BytesIO(b" " * 1000))
    return file.getvalue()


def old_tar() -> bytes:
    """A pre-POSIX archive, with a checksum but no magic number."""
    header = bytearray(tarred(tarfile.USTAR_FORMAT)[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"{}\n"


CONTAINERS = [
    (zipped("devices.ndjson"), "a zip archive"),
    (b"PK\x05\x06" + bytes(18), "a zip archive"),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook (.xlsx)"),
    (zipped("[Content_Types].xml", "word/document.xml"), "an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)"),
    (tarred(tarfile.USTAR_FORMAT), "a tar archive"),
    (tarred(tarfile.GNU_FORMAT), "a tar archive"),
    (old_tar(), "a tar archive"),
    (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
    (b"Rar!\x1a\x07\x01\0", "a rar archive"),
    (b"Rar!\x1a\x07\0", "a rar archive"),
    (bz2.compress(ndjson(ONE)), "bzip2"),
    (lzma.compress(ndjson(ONE)), "xz"),
    (b"\x28\xb5\x2f\xfd\x04", "zstd"),
    (b"PAR1\x15\x04", "Parquet"),
    (b"%PDF-1.7\n", "PDF"),
    (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML"),
    (b"\xef\xbb\xbf \n<HTML lang=en>", "HTML"),
    (b'<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code></Error>', "XML"),
    (b"<devices><device id='a'/></devices>", "XML"),
    (b"---\n- id: a\n  status: enabled\n", "YAML"),
    (b"# fleet\ndevices:\n  - id: a\n    status: enabled\n", "YAML"),
    (b"- id: a\n  status: enabled\n", "YAML"),
    (b"-----BEGIN CERTIFICATE-----\nMIIB", "PEM, a certificate or key"),
    (base64.b64encode(ndjson(ONE, TWO)), "base64 of a text file"),
    (base64.encodebytes(gzip.compress(ndjson(ONE, TWO))), "base64 of gzip"),
    (b"\xef\xbb\xbf" + base64.b64encode(ndjson(ONE, TWO)), "base64 of a text file"),
    (b'"' + base64.b64encode(ndjson(ONE, TWO)) + b'"\n', "base64 of a text file"),
    (base64.urlsafe_b64encode(b"\x1f\x8b" + b"\xff\xfe\xfb" * 500), "base64 of gzip"),
    (ndjson(ONE, TWO).hex().encode(), "hexadecimal digits"),
    (ndjson(ONE, TWO).hex("\n", -30).upper().encode(), "hexadecimal digits"),
    (b"\xef\xbb\xbf%PDF-1.7\n", "PDF"),
    (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(50), "a Windows program"),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\x80\n" * 2000, "a picture or video"),
    (random.Random(1).randbytes(100_000), "binary data"),
    (random.Random(2).randbytes(100_000), "binary data"),
    (b"".join(b"\x1c\0\0\0\x02id\0\x07\0\0\0w%d\0\0" % n for n in range(999)), "binary data"),
    (
        b"".join(b"\x82\xa2id\xa2w%d\xa6status\xa7enabled" % (n % 9) for n in range(99)),
        "binary data",
    ),
    (b"data:text/plain;base64," + base64.b64encode(zipped("a")), "base64 of a zip archive"),
]


@pytest.mark.parametrize(("data", "name"), CONTAINERS)
@pytest.mark.parametrize("file_name", ["", "devices.csv"])
def test_archives_and_documents_are_named(data: bytes, name: str, file_name: str) -> None:
    if name == "YAML" and file_name:
        return  # a table of one column, by its name
    for packed in (data, gzip.compress(data)):
        ((code, message),) = messages(packed, name=file_name)
        advice = "; save its sheet as CSV (UTF-8)" if "Excel" in name else ""
        assert code == "file-format"
        expected = f"it looks like {name}{advice or ')'}"
        assert message.partition(" (")[2].startswith(expected)


TWIN = {"deviceId": "l1", "etag": "AAAAAAAAAAE=", "version": 2, "tags": {}, "properties": {}}
LISTED = {
    **{"authenticationType": "sas", "capabilities": {"iotEdge": False}, "deviceEtag": "NzU0"},
    **{"connectionState": "Disconnected", "modelId": "", "status": "enabled"},
    **{"x509Thumbprint": {"primaryThumbprint": None}, **TWIN},
}
IDENTITY = {
    **{"deviceId": "r1", "generationId": "1", "etag": "MQ==", "status": "enabled"},
    **{"connectionState": "Disconnected", "authentication": keys()},
}
DOTNET = {
    **{"Id": "n1", "GenerationId": "1", "ETag": "MQ==", "ConnectionState": 0, "Status": 0},
    **{"StatusReason": None, "StatusUpdatedTime": "0001-01-01T00:00:00Z", "Scope": None},
    **{"Authentication": {"SymmetricKey": {"PrimaryKey": KEY}, "Type": 0}},
}
FOREIGN: list[tuple[Any, str]] = [
    ({"deviceId": "a", "tags": {"site": "x"}}, "az iot hub query"),
    ({"deviceId": "a", "properties": {}}, "device twins"),
    ({"deviceId": "a"}, "parts of device twins or identities"),
    ({"deviceId": "a", "status": "enabled"}, "parts of device twins or identities"),
    ({"deviceId": "a", "connectionString": "HostName=x"}, "parts of device twins or identities"),
    ({"deviceId": "a", "status": "enabled", "authentication": keys()}, "REST API"),
    ({"deviceId": "a", "moduleId": "m", "authentication": keys()}, "REST API"),
    (DOTNET, "Get-AzIotHubDevice"),
    ({**DOTNET, "Authentication": None, "Status": 1}, "SDK for .NET"),
    ({"Id": "m", "DeviceId": "a", "GenerationId": "1", "ManagedBy": None}, "SDK for .NET"),
    ({"device_id": "a", "generation_id": "1", "status": "enabled"}, "SDK for Python (as_dict)"),
    ({"device_id": "a", "tags": {}, "properties": {}, "etag": "b"}, "SDK for Python (as_dict)"),
    ({"registrationId": "a", "deviceId": "a", "status": "assigned"}, "Device Provisioning Service"),
    ({"registrationId": "a"}, "Device Provisioning Service"),
    ({"jobId": "a", "type": "import", "status": "completed"}, "import or export jobs"),
    ({"jobId": "a", "inputBlobContainerUri": "https://x"}, "import or export jobs"),
    ({"identity": {"status": "enabled"}, "twin": {"tags": {}}}, "az iot hub state export"),
    (TWIN, "az iot hub device-identity list"),
    (LISTED, "az iot hub device-identity list"),
    ({"DeviceId": "a", "ETag": "b", "Version": 1}, "device twins"),
    (IDENTITY, "device identities of the REST API"),
    ({**IDENTITY, "moduleId": "m", "managedBy": ""}, "device identities of the REST API"),
    (
        {"registrationId": "a", "attestation": {"type": "tpm"}, "etag": "b"},
        "Device Provisioning Service",
    ),
    ({"enrollmentGroupId": "g", "attestation": {}}, "Device Provisioning Service"),
    ({"registrationId": "a", "assignedHub": "h", "deviceId": "a"}, "Device Provisioning Service"),
    ({"id": "a", "displayName": "A", "provisioned": True}, "devices of IoT Central"),
    ({"id": "/subscriptions/0/resourceGroups/g", "type": "x", "name": "h"}, "Azure resources"),
    ({"thingName": "a", "attributes": {}, "version": 1}, "things of AWS IoT"),
]


@pytest.mark.parametrize(("document", "name"), FOREIGN)
@pytest.mark.parametrize("chunk_bytes", [7, 1 << 20])
def test_documents_of_other_tools_are_named(document: Any, name: str, chunk_bytes: int) -> None:
    many = [document] * 3
    files = [
        ndjson(*many),
        json.dumps(many).encode(),
        json.dumps(many, indent=2).encode(),
        json.dumps({"value": many, "nextLink": "https://x"}).encode(),
        json.dumps({"count": 3, "items": many}, indent=1).encode(),
        json.dumps(document, indent=2).encode(),
        b"// comment\n" + json.dumps(document).encode(),
        b"\xef\xbb\xbf\xef\xbb\xbf[\n" + b",\n".join(map(writing.line, many)) + b"]",
    ]
    for data in files:
        ((code, message),) = messages(data, chunk_bytes=chunk_bytes)
        assert code == "file-foreign"
        assert name in message


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"devices": {"d1": {"identity": {}, "twin": {}}}}, "az iot hub state export"),
        ({"arm": {"resources": []}, "configurations": {}}, "az iot hub state export"),
        (
            {"$schema": "https://schema.management.azure.com/x", "resources": [{"id": "a"}]},
            "Azure Resource Manager",
        ),
        (
            {"$schema": "x", "contentVersion": "1.0.0.0", "parameters": {"a": {"value": 1}}},
            "Azure Resource Manager",
        ),
        ({"errorCode": "DeviceNotFound", "errorStatus": "x"}, "error log of an import job"),
        ({"devices": {"d1": {"twin": {}}, "d2": {"twin": {}}}}, "az iot hub state export"),
        ({"devices": {"d1": {}}, "arm": {}}, "az iot hub state export"),
        ({"devices": {"d1": {"status": "enabled"}}}, "the devices as its properties"),
        ({"d1": {"status": "enabled"}, "d2": {"authentication": {}}}, "the devices as its prop"),
        ({"error": {"code": "AuthorizationFailed", "message": "x"}}, "an error that a service"),
        ({"error": {"code": "x", "status": 404, "details": [{"code": 1}]}}, "an error that a serv"),
        ({"Message": "ErrorCode:x", "ExceptionMessage": "y"}, "an error that a service"),
        ({"errorCode": 401002, "trackingId": "x", "message": "y"}, "an error that a service"),
    ],
)
def test_documents_that_are_one_object(document: Any, name: str) -> None:
    for data in (json.dumps(document).encode(), json.dumps(document, indent=4).encode()):
        ((code, message),) = messages(gzip.compress(data))
        assert code == "file-foreign"
        assert name in message


@pytest.mark.parametrize(
    "line",
    [
        {**DOTNET, "Status": "Enabled"},
        {**DOTNET, "GenerationId": None, "id": "a", "status": "on"},
        {**IDENTITY, "ID": "a"},
        {**TWIN, "id": "a", "Status": "disabled"},
        {"id": "a", "status": "enabled", "registrationId": "a", "jobId": "b", "error": {"code": 1}},
        {"id": "a", "status": 1, "device_id": "a", "arm": {}},
        {"devices": {"dev-1": {}}},
        {"devices": {"dev-1": {"site": "x"}}},
        {"tags": {"status": "x"}, "properties": {"status": {}}},
    ],
)
def test_files_that_are_not_foreign(line: dict[str, Any]) -> None:
    for data in (ndjson(line), ndjson(line, ONE), json.dumps([line] * 3).encode()):
        assert "file-foreign" not in [code for code, _ in messages(data)]


def test_rows_of_a_query_may_lack_properties() -> None:
    rows = [
        {"deviceId": "a"},
        {"deviceId": "b", "tags": {"x": 1}},
        {"deviceId": "c", "status": "x"},
    ]
    for data in (ndjson(*rows), json.dumps(rows).encode()):
        ((code, message),) = messages(data)
        assert code == "file-foreign"
        assert "device twins" in message


def test_remedies_do_not_contradict_each_other() -> None:
    _, validation = validate_file(ndjson({"registrationId": "a", "attestation": {"type": "tpm"}}))
    (problem,) = validation.report.problems
    assert "az iot" not in f"{problem.message} {problem.remedy}"


def test_a_large_document_is_recognised_by_its_beginning() -> None:
    devices = {f"d{n}": {"identity": {"x": "y" * 500}} for n in range(1000)}
    ((code, _),) = messages(json.dumps({"devices": devices}).encode())
    assert code == "file-foreign"
    twins = [{"tags": {"x": "y" * 5000}, **TWIN}] * 1000
    ((code, _),) = messages(json.dumps(twins).encode(), chunk_bytes=100)
    assert code == "file-foreign"


def test_one_foreign_line_does_not_reject_the_file() -> None:
    data = ndjson(ONE, IDENTITY, TWO)
    staged, _ = validate_file(data)
    assert staged == [ONE, TWO]
    assert "file-foreign" not in [code for _, _, code in file_problems(data)]


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.recursive(st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
)
def test_a_truncated_value_is_completed(value: Any) -> None:
    text = json.dumps([value]).encode()
    assert completed(text) == [value]
    for end in range(1, len(text)):
        assert isinstance(completed(text[:end]), list)
        foreign_kind(text[:end])


class TestWrapper:
    @pytest.mark.parametrize("chunk_bytes", [1, 30, 1 << 20])
    @pytest.mark.parametrize(
        "text",
        [
            '{"devices": [DEVICES]}',
            '{"value":[DEVICES],"Count":2}',
            '{\n "count": 2,\n "@odata.context": "x",\n "all": [\nDEVICES\n]\n, "nextLink": null}',
        ],
    )
    def test_the_array_of_a_wrapper_is_read(self, text: str, chunk_bytes: int) -> None:
        pretty = ",\n".join(json.dumps(line, indent=1) for line in (ONE, TWO))
        data = text.replace("DEVICES", pretty).encode()
        with small_pieces(head_bytes=200):
            staged, validation = validate_file(data, chunk_bytes=chunk_bytes)
        assert staged == [ONE, TWO]
        assert validation.report.format == "json"
        assert [*validation.report.codes] == ["file-wrapper"]
        lines = data.split(b"\n")
        for number, line in enumerate((ONE, TWO), 1):
            begins_on = validation.lines.upload_line(number)
            assert f'"id": "{line["id"]}"'.encode() in lines[begins_on]

    @pytest.mark.parametrize(
        ("text", "code", "expected"),
        [
            ('{"value":[D],"nextLink":"https://x"}', "file-wrapper-members", "one page of several"),
            ('{"@odata.nextLink":"x","value":[D]}', "file-wrapper-members", "one page of several"),
            ('{"importMode":"delete","devices":[D]}', "file-wrapper-members", "other"),
            ('{"devices":[D],"modules":[D]}', "file-wrapper-members", "other"),
            ('{"devices":[D],"count":[1]}', "file-wrapper-members", "other"),
            ('{"devices":[D],"devices":[D]}', "json-duplicate-member", "around the array"),
            ('{"devices":[D]', "json-invalid", "around the array"),
            ('{"devices":[D]}\n{"devices":[D]}', "json-trailing-data", "around the array"),
            ('{"devices":[D],"\udcc0":null}', "line-encoding", "around the array"),
            ('{"devices":[D', "array-not-closed", "not closed"),
        ],
    )
    def test_other_content_is_rejected(self, text: str, code: str, expected: str) -> None:
        data = text.replace("D", json.dumps(ONE)).encode("utf-8", "surrogateescape")
        _, validation = validate_file(data)
        assert validation.report.is_unusable
        assert validation.report.refusal
        assert validation.report.refusal.code == code
        assert expected in validation.report.refusal.message
        assert KEY not in str(validation.report.problems_json("devices"))

    def test_lines_with_arrays_are_not_wrappers(self) -> None:
        for line in (
            {"surprise": [{"a": 1}], **ONE},
            {"status": "enabled", "parentScopes": [], "id": "a", "authentication": keys()},
        ):
            staged, validation = validate_file(ndjson(line, TWO))
            assert staged == [line, TWO]
            assert validation.report.format == "ndjson"

    def test_an_empty_wrapper(self) -> None:
        assert file_problems(b'{"devices": []}') == [(None, "", "file-empty")]

    def test_text_after_the_array_is_bounded(self) -> None:
        data = b'{"devices":[' + ndjson(ONE) + b'],"x":"' + b"y" * 500_000
        assert file_problems(data, Limits(max_line_bytes=1000)) == [(1, "", "line-too-long")]


def test_the_file_ends_in_padding() -> None:
    """As in a page blob."""
    for data in (
        ndjson(ONE, TWO) + b"\n",
        ndjson(ONE, TWO),
        json.dumps([ONE, TWO]).encode(),
        b"id,status,authentication.type\nw1,enabled,certificateAuthority\nw2,enabled,none",
    ):
        expected, _ = validate_file(data)
        for size in (1, 511, 3_000_000):
            staged, validation = validate_file(data + bytes(size), chunk_bytes=1000)
            assert staged == expected
            (problem,) = (p for p in validation.report.problems if p.code == "file-padding")
            assert problem.line is None
            assert "block blob" in problem.remedy
    assert file_problems(b"\0" * 512) == [(None, "", "file-empty"), (None, "", "file-padding")]
    data = ndjson(ONE, b"\0" * 3000, TWO)
    assert file_problems(data, chunk_bytes=100) == [(2, "", "line-nul")]


@pytest.mark.parametrize("name", ["nextLink", "hasMore", "nextPageToken", "continuationToken"])
def test_one_page_of_several_is_reported(name: str) -> None:
    line = {"id": "a", "status": "enabled", "importMode": "create"}
    _, validation = validate_file(json.dumps({"devices": [line], name: "x"}).encode())
    assert validation.report.is_unusable
    assert "fetch all pages" in str(validation.report.refusal)


@pytest.mark.parametrize("name", ["device-list", "my devices", "$values", "v1.devices"])
def test_a_wrapper_of_any_name(name: str) -> None:
    line = {"id": "a", "status": "enabled", "importMode": "create"}
    staged, _ = validate_file(json.dumps({name: [line], "hasMore": False}).encode())
    assert staged == [line]


@pytest.mark.parametrize("end", [b"\n", b"\x1a", b"\r\n", b"\0\n\0\n\x1a"])
@pytest.mark.parametrize("size", [1, 300, 200_000])
@pytest.mark.parametrize("chunk_bytes", [100, 1 << 20])
def test_padding_before_the_last_line_end(end: bytes, size: int, chunk_bytes: int) -> None:
    padding = bytes(size) + end
    for data in (ndjson(ONE, TWO) + b"\n", b"id,status,importMode\nw1,enabled,create\n"):
        expected, _ = validate_file(data)
        staged, validation = validate_file(data + padding, chunk_bytes=chunk_bytes)
        assert staged == expected
        assert validation.report.codes == {"file-padding": 1}
        count = padding.count(b"\0")
        assert f"({count:,} byte{'s' * (count > 1)})" in validation.report.problems[0].message
    data = ndjson(ONE, padding + ndjson(TWO))
    assert "line-nul" in [code for _, _, code in file_problems(data, chunk_bytes=chunk_bytes)]


@given(st.lists(st.sampled_from([b"\0", b"\0" * 90_000, b"\n", b"\x1a", b"{}"])), st.integers(1, 9))
def test_only_padding_is_lost(parts: list[bytes], count: int) -> None:
    data = b"".join(parts)
    size = max(1, len(data) // count)
    rest = b"".join(without_padding(cut(data, size), Dropped()))
    assert data.startswith(rest)
    assert not data[len(rest) :].strip(b"\0\n\x1a")
    assert data == rest or data[len(rest)] == 0


class TestOtherWrappers:
    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({"data": {"devices": [ONE, TWO]}}, "the array is in data.devices"),
            ({"response": {"body": {"value": [ONE]}, "a": 1}}, "in response.body.value"),
            ({"meta": {"a": [1]}, "devices": [ONE, TWO]}, "such as meta"),
            ({"sites": ["a"], "devices": [{"deviceId": "a", "x": 1}]}, "such as sites"),
            ({KEY: {}, "devices": [ONE]}, "not shown"),
        ],
    )
    def test_an_unsupported_wrapper_is_one_problem(
        self, document: Any, expected: str, indent: int | None
    ) -> None:
        data = json.dumps(document, indent=indent).encode()
        ((code, message),) = messages(b"\n" + data)
        assert code == "file-wrapper-members"
        assert expected in message
        assert KEY not in message
        assert file_problems(b"\n\n" + data) == [(3, "", code)]

    def test_ndjson_lines_are_not_wrappers(self) -> None:
        data = ndjson({"a": {"list": [ONE]}, "status": "enabled"}, ONE, TWO)
        staged, validation = validate_file(data)
        assert staged == [ONE, TWO]
        assert validation.report.format == "ndjson"

    @pytest.mark.parametrize(
        ("text", "line", "code"),
        [
            ('{"devices":[D],\n"x":1,\n"nextLink":"y"}', 3, "file-wrapper-members"),
            ('\n{"a":1,\n"hasMore":true,"devices":[D]}', 3, "file-wrapper-members"),
            ('{"devices":[D,\nD],\n"importMode":"create"}', 3, "file-wrapper-members"),
            ('{"devices":[D,\nD],"x":,}', 2, "json-invalid"),
        ],
    )
    def test_problems_around_the_array_have_lines(self, text: str, line: int, code: str) -> None:
        _, validation = validate_file(text.replace("D", json.dumps(ONE)).encode())
        assert validation.report.refusal
        assert (validation.report.refusal.line, validation.report.refusal.code) == (line, code)

    def test_a_mistake_in_the_array_is_reported_there(self) -> None:
        text = f'{{"devices":[\n{{"id":"x",}},\n{json.dumps(ONE)}]}}'
        staged, _ = validate_file(text.encode())
        assert staged == [ONE]
        assert file_problems(text.encode()) == [(2, "", "json-invalid")]

    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ('{"count":99999,"devices":[D1,D2]}', [1]),
            ('{"devices":[D1,\nD2],\n"total":1, "count": 2}', [3]),
            ('{"devices":[D1,D2],"@odata.count":2,"totalCount":"2"}', []),
        ],
    )
    def test_the_element_count_of_a_wrapper(self, text: str, lines: list[int]) -> None:
        data = text.replace("D1", json.dumps(ONE)).replace("D2", json.dumps(TWO)).encode()
        with small_pieces():
            assert file_problems(data, chunk_bytes=50) == [
                (n, "", "file-wrapper-count") for n in lines
            ]

    @pytest.mark.parametrize("name", ["ger\u00e4te", "$values", 'the "devices"'])
    def test_other_names(self, name: str) -> None:
        for ensure_ascii in (True, False):
            document = {"$id": "1", name: [ONE, TWO]}
            staged, _ = validate_file(json.dumps(document, ensure_ascii=ensure_ascii).encode())
            assert staged == [ONE, TWO]
