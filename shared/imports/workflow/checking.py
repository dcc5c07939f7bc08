"""The validation of a device file as the settings want it: at intake, and asked for by people."""

from __future__ import annotations

from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.validation import Validation
from shared.settings import Settings

__all__ = ["validation_of"]


def validation_of(settings: Settings, name: str, confirmed_deletes: int) -> Validation:
    """A validation of the file with this name, which may delete so many devices."""
    limits = Limits(
        max_devices=settings.max_devices,
        max_line_bytes=settings.max_line_bytes,
        max_file_bytes=settings.max_file_bytes,
        max_expansion=settings.max_expansion,
        max_problems=settings.max_reported_problems,
        max_deletes=settings.max_deletes,
        max_delete_share=settings.max_delete_share,
    )
    defaults = CsvDefaults(settings.csv_default_status, settings.csv_default_import_mode)
    return Validation(limits, name=name, defaults=defaults, confirmed_deletes=confirmed_deletes)
