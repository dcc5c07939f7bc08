"""Exit statuses, and the errors that end a command with one."""

from __future__ import annotations

from enum import IntEnum

from shared.errors import ImporterError

__all__ = ["EXIT_STATUSES", "CommandError", "Exit", "UsageError"]


class Exit(IntEnum):
    """Exit status of a command. docs/operations.md lists them."""

    DONE = 0
    UNSUCCESSFUL = 1  # an import did not complete, or a file has errors or would fail
    USAGE = 2  # invalid command line or settings, or a file that cannot be read or written
    NOT_POSSIBLE = 3  # no such import, or its state does not allow the action
    NO_ACCESS = 4  # the storage account or hub cannot be reached or denies access
    CHANGES = 10  # the plan of a file has changes
    HELD = 11  # an import waits for an approval
    INTERRUPTED = 130  # Ctrl-C, as in shells


#: For --help.
EXIT_STATUSES = (
    "Exit status: 0 done, all files are valid, all followed imports completed; 1 a file has errors "
    "or lines that would fail, or an import ended in another state; 2 invalid usage or settings, "
    "or a file cannot be read; 3 not found or not possible; 4 the storage account or hub cannot be "
    "reached or denies access; 10 the plan has changes; 11 an import waits for approval; "
    "130 interrupted (Ctrl-C)."
)


class CommandError(ImporterError):
    """The command cannot be carried out; the message is for the operator."""

    def __init__(self, status: Exit, message: str) -> None:
        super().__init__(message)
        self.status = status


class UsageError(CommandError):
    """The command line or the settings are invalid."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.USAGE, message)
