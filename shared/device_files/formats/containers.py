"""Archives, documents and other files that contain no devices as text, by their first bytes."""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["SPREADSHEETS", "container_of", "is_binary", "is_utf_16_or_32", "is_yaml"]

#: In the order in which they are compared.
_SIGNATURES: dict[bytes, str] = {
    **dict.fromkeys((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"), "a zip archive"),
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"MSCF": "a cab archive",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"\x1f\x9d": "compress (.Z)",
    b"PAR1": "Parquet",
    b"Obj\x01": "Avro",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF": "PDF",
    b"{\\rtf": "RTF",
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "a picture"),
    b"bplist00": "a property list",
    b"-----BEGIN ": "PEM, a certificate or key",
    b"MZ\x90\0": "a Windows program",
    b"\x7fELF": "a program",
    **dict.fromkeys((b"%YAML", b"--- "), "YAML"),
}
#: What may contain a table.
SPREADSHEETS = frozenset(
    {"an Excel workbook (.xls)", "an Excel workbook (.xlsx)", "an OpenDocument file"}
)
#: Parts of zip archives that are documents.
_ZIPPED = {
    b"xl/work": "an Excel workbook (.xlsx)",
    b"[Content_Types].xml": "an Office document",
    b"opendocument": "an OpenDocument file",
}
_YAML_LINE = re.compile(rb"[ \t]*(?:- *)*[A-Za-z_$][\w.$ -]*:(?:[ \t].*)?|[ \t]*-(?: .*)?")
_BASE64 = re.compile(
    rb'(?:data:[^\s,]*;base64,)?"?([A-Za-z0-9+/_-][A-Za-z0-9+/_\r\n-]*+={0,2})"?\s*+'
)
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]++")
#: Long base64 contains all of these; other strings with - and _ do not.
_BASE64_CHARACTERS = (rb"[A-Z]", rb"[a-z]", rb"[0-9]")
#: A shorter first line may be a name.
_MIN_BASE64 = 40
_SAMPLE_BYTES = 4096
_TAR_HEADER, _TAR_CHECKSUM = 512, slice(148, 156)

_BOMS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_NULS = re.compile(rb"\0+")
#: Except blanks, line ends and those that tools write into text.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x19\x1c\x1d\x1f]")
_ASCII = re.compile(r"[ -~\t\r\n]")
#: Shares of characters.
_MAX_CONTROLS = 0.05
_MAX_UNDECODABLE = 0.1
_MIN_ASCII = 0.6
_MIN_ASCII_AFTER_BOM = 0.3


def container_of(head: bytes) -> str:
    """Name the format of a file that begins so; "" if it may be a device file."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            if signature.startswith(b"PK"):
                return next((format_ for part, format_ in _ZIPPED.items() if part in head), name)
            return name
    if _is_tar(head):
        return "a tar archive"
    if head[4:8] == b"ftyp":
        return "a picture or video"
    text = head[:_SAMPLE_BYTES].lstrip()
    if text.startswith(b"<"):
        start = text.lower()
        return "HTML" if b"<html" in start or b"<!doctype html" in start else "XML"
    return _base64(head)


def is_yaml(head: bytes) -> bool:
    """Whether a file that is neither JSON nor CSV looks like YAML."""
    lines = [line.rstrip() for line in head[:_SAMPLE_BYTES].split(b"\n")]
    lines = [line for line in lines if line and not line.lstrip().startswith(b"#")][:2]
    return lines[:1] == [b"---"] or (len(lines) == 2 and all(map(_YAML_LINE.fullmatch, lines)))


def is_utf_16_or_32(head: bytes) -> bool:
    for bom, encoding in _BOMS.items():
        if head.startswith(bom):
            text = head[len(bom) : _SAMPLE_BYTES]
            return not text or _ascii_share(text, encoding) >= _MIN_ASCII_AFTER_BOM
    sample = head[:_SAMPLE_BYTES]
    return b"\0" in sample[:64] and any(
        _ascii_share(sample, encoding) >= _MIN_ASCII for encoding in _BOMS.values()
    )


def is_binary(head: bytes) -> bool:
    """Whether a file that begins so is no text, by the share of bytes that text does not have."""
    # Damaged text may contain long runs of NULs.
    sample = _NULS.sub(b"\0", head[:_SAMPLE_BYTES]).strip(b"\0")
    if not sample:
        return False
    if len(_CONTROLS.findall(sample)) > _MAX_CONTROLS * len(sample):
        return True
    undecodable = sample.decode("utf-8", "replace").count("\ufffd")
    begins_odd = sample[0] >= 0x80 and not sample.decode("utf-8", "ignore").startswith("\ufeff")
    return begins_odd and undecodable > _MAX_UNDECODABLE * len(sample)


def _ascii_share(data: bytes, encoding: str) -> float:
    text = data[: len(data) // 4 * 4 or len(data)].decode(encoding, "replace")
    return len(_ASCII.findall(text)) / max(1, len(text))


def _is_tar(head: bytes) -> bool:
    """Check the magic of POSIX, or the checksum that every header has."""
    header = head[:_TAR_HEADER].ljust(_TAR_HEADER, b"\0")
    if header[257:262] == b"ustar":
        return True
    digits = header[_TAR_CHECKSUM].strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(header) - sum(header[_TAR_CHECKSUM]) + 8 * ord(" ")


def _base64(head: bytes) -> str:
    match = _BASE64.fullmatch(head[:_SAMPLE_BYTES].rstrip(b"\0"))
    if not match or len(match[1].split(maxsplit=1)[0]) < _MIN_BASE64:
        return ""
    digits = b"".join(match[1].split())
    if _HEXADECIMAL.fullmatch(digits):
        return "hexadecimal digits"
    if b"-" in digits or b"_" in digits:
        if not all(re.search(characters, digits) for characters in _BASE64_CHARACTERS):
            return ""
        digits = digits.replace(b"-", b"+").replace(b"_", b"/")
    try:
        start = base64.b64decode(digits[: len(digits) // 4 * 4])
    except binascii.Error:
        return "base64"
    content = "gzip" if start.startswith(b"\x1f\x8b") else container_of(start)
    if not content and start.isascii():
        content = "a text file"
    return f"base64 of {content}" if content else "base64"
