"""One version of a mapping, read: what it says, or why it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from shared.device_files.mapping.document import InvalidMappingError, read_mapping
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from shared.device_files.rules import Finding, Rule
from shared.text import clean

__all__ = ["FolderMapping"]

#: Characters of names in a message.
_MAX_NAME = 200


@dataclass(frozen=True)
class FolderMapping:
    """A mapping that is to be applied to files."""

    #: Of its blob or file.
    name: str
    etag: str
    data: bytes
    applied: FileMapping = NO_MAPPING
    #: Why files cannot be imported with it; None if it is valid.
    refusal: Finding | None = None

    @classmethod
    def of(cls, name: str, data: bytes, etag: str = "") -> FolderMapping:
        """Read a mapping; an invalid one refuses all files, as nothing is imported unmapped."""
        try:
            return cls(name, etag, data, read_mapping(data))
        except InvalidMappingError as error:
            line, first = error.problems[0]
            place = (
                clean(name, _MAX_NAME),
                f"line {line:,}" if line else "",
                clean(first.field, _MAX_NAME),
            )
            others = len(error.problems) - 1
            more = f"; {others:,} more" if others else ""
            detail = f"{', '.join(filter(None, place))}: {first.detail}{more}"
            return cls(name, etag, data, refusal=Finding("", Rule.MAPPING_INVALID, detail))
