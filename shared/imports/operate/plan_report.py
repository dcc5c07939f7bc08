"""plan.json as it is read from storage, where it may have been edited."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from shared.imports.operate.api_models import PlanCountsView, View
from shared.plan.model import Action, NewKeys, Note

__all__ = ["MAX_BYTES", "Change", "ChangedLine", "StoredPlan"]

#: A longer plan.json is not read for a page. A thousand lines have some 300 KB.
MAX_BYTES = 4 * 1024 * 1024

_Count = Annotated[int, Field(ge=0)]


class Change(View):
    """One property that an update changes. Keys have no values."""

    property: str
    old: Any = None
    new: Any = None
    certain: bool


class ChangedLine(View):
    """One line that is not unchanged."""

    line: _Count
    id: str
    module_id: str = ""
    action: Action
    new_keys: NewKeys | None
    deleted_modules: _Count
    code: str
    remedy: str
    notes: list[Note]
    changes: list[Change]
    truncated: bool


class CountedNote(View):
    """What is not known, of how many lines."""

    note: Note
    count: _Count


class StoredPlan(View):
    """The plan of an import."""

    as_of: AwareDatetime
    source: str
    hub_devices: _Count | None
    counts: PlanCountsView
    notes: list[CountedNote]
    #: The first lines that are not unchanged.
    changes: list[ChangedLine]
    truncated: bool
