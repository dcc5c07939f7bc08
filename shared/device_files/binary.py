"""Files that are not text in UTF-8, known by the share of their bytes that text does not have."""

from __future__ import annotations

import re

__all__ = ["is_binary", "is_utf_16_or_32"]

_LOOKED_AT = 4096
_BOMS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_NULS = re.compile(rb"\0+")
#: Controls beside blanks, line ends and those that tools put into text.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x19\x1c\x1d\x1f]")
_ASCII = re.compile(r"[ -~\t\r\n]")
#: Shares of characters.
_MAX_CONTROLS = 0.05
_MAX_UNDECODABLE = 0.1
_MIN_ASCII = 0.6
_MIN_ASCII_AFTER_BOM = 0.3


def is_utf_16_or_32(head: bytes) -> bool:
    """Whether a file that begins so is text in one of these encodings."""
    for bom, encoding in _BOMS.items():
        if head.startswith(bom):
            text = head[len(bom) : _LOOKED_AT]
            return not text or _ascii(text, encoding) >= _MIN_ASCII_AFTER_BOM
    sample = head[:_LOOKED_AT]
    return b"\0" in sample[:64] and any(
        _ascii(sample, encoding) >= _MIN_ASCII for encoding in _BOMS.values()
    )


def is_binary(head: bytes) -> bool:
    """Whether a file that begins so is no text at all."""
    # Damaged text may hold long runs of NULs.
    sample = _NULS.sub(b"\0", head[:_LOOKED_AT]).strip(b"\0")
    if not sample:
        return False
    if len(_CONTROLS.findall(sample)) > _MAX_CONTROLS * len(sample):
        return True
    undecodable = sample.decode("utf-8", "replace").count("\ufffd")
    is_odd = sample[0] >= 0x80 and not sample.decode("utf-8", "ignore").startswith("\ufeff")
    return is_odd and undecodable > _MAX_UNDECODABLE * len(sample)


def _ascii(data: bytes, encoding: str) -> float:
    text = data[: len(data) // 4 * 4 or len(data)].decode(encoding, "replace")
    return len(_ASCII.findall(text)) / max(1, len(text))
