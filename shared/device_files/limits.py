"""What callers decide about a validation: its limits, and values for cells that CSV rows omit."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CsvDefaults", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of a file and of its report."""

    #: Devices and modules in a file.
    max_devices: int = 1_000_000
    #: Bytes of one line, element or row.
    max_line_bytes: int = 1024 * 1024
    #: Bytes of a file, uncompressed.
    max_file_bytes: int = 2 * 1024 * 1024 * 1024
    #: How many times its size a gzip file may expand to.
    max_expansion: int = 200
    #: Problems of each severity that a report lists.
    max_problems: int = 1000
    #: Devices and modules that a file may delete without confirmation, and as a share of its lines.
    max_deletes: int = 100
    max_delete_share: float = 1.0
    #: Whether a file that deletes more is to be approved later, instead of confirmed.
    approves_deletes: bool = False


@dataclass(frozen=True)
class CsvDefaults:
    """Values of a row without such a cell; "" for none."""

    status: str = ""
    import_mode: str = ""
