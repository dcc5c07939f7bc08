"""What a caller decides about a validation: its limits, and what CSV rows leave out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CsvDefaults", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of a file and of its report."""

    #: Devices and modules in a file.
    max_devices: int = 1_000_000
    #: Bytes of one line, element or row.
    max_line_bytes: int = 1024 * 1024
    #: Bytes of a file, uncompressed.
    max_file_bytes: int = 2 * 1024 * 1024 * 1024
    #: How many times larger than its gzip file a file may be.
    max_expansion: int = 200
    #: Problems of each severity that a report lists.
    max_problems: int = 1000
    #: Devices and modules that a file may delete unasked, and as a share of its lines.
    max_deletes: int = 100
    max_delete_share: float = 1.0


@dataclass(frozen=True)
class CsvDefaults:
    """What a row says that has no such cell; "" for nothing."""

    status: str = ""
    import_mode: str = ""
