"""Whether a retry of the lines that failed can succeed, or they have to be corrected first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.hub.explain import persists, remedy_of

__all__ = ["RetryAdvice", "retry_advice"]


@dataclass(frozen=True)
class RetryAdvice:
    """Failed lines by what a retry as they are does with them."""

    #: Rejected again, as long as nobody changes the line or the device at the hub.
    persistent: int = 0
    #: May succeed.
    transient: int = 0

    @property
    def is_correction_first(self) -> bool:
        """Whether no line can succeed as it is."""
        return self.persistent > 0 and self.transient == 0


def retry_advice(failures: Mapping[str, Any] | None) -> RetryAdvice:
    """What to expect of a retry, by the failures in report.json; nothing where there are none."""
    codes: Iterable[Mapping[str, Any]] = (failures or {}).get("codes") or ()
    counts = {True: 0, False: 0}
    for group in codes:
        name = str(group["code"]).rpartition(" ")[2]
        # Lines whose device changed since their plan have another remedy: they are compared again.
        is_own = group.get("remedy", "") == remedy_of(name)
        counts[is_own and persists(name)] += group["count"]
    return RetryAdvice(counts[True], counts[False])
