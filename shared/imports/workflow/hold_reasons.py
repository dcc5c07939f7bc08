"""Why an import waits for an approval, and why it ended without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.text import clean_reason

__all__ = [
    "always",
    "deadline_passed",
    "declined",
    "held",
    "superseded",
    "too_many",
    "too_many_of_lines",
    "without_plan",
]

_DECIDE = "Look at its plan, then approve or decline it."


def always(counts: Mapping[str, int]) -> str:
    """Of an import that is held whatever it does.

    Args:
        counts: how many devices, by what the import does to them.
    """
    does = ", ".join(f"{what} {count:,}" for what, count in counts.items() if count)
    return (
        "Each import has to be approved (APPROVAL=always). This one "
        f"{does or 'changes nothing that is known'}. {_DECIDE}"
    )


def held(found: Iterable[str]) -> str:
    return f"The import has to be approved (APPROVAL): it {'; it '.join(found)}. {_DECIDE}"


def too_many(what: str, count: int, allowed: int) -> str:
    """One reason, as a part of a sentence."""
    return (
        f"{what} {count:,} devices or modules, and {allowed:,} need no approval (MAX_DELETES, "
        "APPROVAL_HUB_SHARE)"
    )


def too_many_of_lines(count: int, lines: int) -> str:
    """One reason, as a part of a sentence."""
    return (
        f"deletes {count:,} devices or modules by {lines:,} lines, a larger share than needs no "
        "approval (MAX_DELETE_SHARE)"
    )


def without_plan(cause: str) -> str:
    return clean_reason(
        "The import has to be approved (APPROVAL), and it could not be compared with the registry.",
        cause,
        "If it is approved, its job gets all of its lines, without a guard. Approve or decline it; "
        "a retry of what was declined compares it again.",
    )


def deadline_passed(days: int) -> str:
    return (
        f"Nobody approved the import within {days} days (APPROVAL_DEADLINE_DAYS). No device was "
        "changed. Retry it to compare it again."
    )


def superseded(file: str) -> str:
    return clean_reason(
        f"{file!r} was overwritten or deleted before the import was approved. No device was "
        "changed. If there is a newer version, it has an import of its own."
    )


def declined(reason: str) -> str:
    said = f": {reason.rstrip('.')}" if reason else ""
    return clean_reason(f"The import was declined{said}. No device was changed.")
