"""Exit statuses, the same for every command that uses the storage account."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EPILOG", "Exit"]


class Exit(IntEnum):
    """What a command ends with."""

    DONE = 0
    BAD_END = 1  # an import ended other than completed, or a file has errors
    WRONG_USAGE = 2  # of the command line, of the settings, or a file that cannot be used
    NOT_POSSIBLE = 3
    NO_STORAGE = 4
    INTERRUPTED = 130  # as shells have it


EPILOG = (
    "Exit status: 0 done, and all watched imports are completed; 1 an import ended otherwise, or "
    "a file has errors; 2 wrong usage or settings; 3 not found or not possible; 4 the storage "
    "account cannot be reached or refuses; 130 Ctrl-C. "
    "Settings are the app's own: from the environment, and what is not there from "
    "local.settings.json in the current folder, or from --settings FILE."
)
