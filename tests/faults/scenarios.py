"""Scenarios for fault injection: complete imports, each with its expected end."""

from __future__ import annotations

from tests.faults.groups import GROUPS
from tests.faults.guarded import GUARDED
from tests.faults.planned import PLANNED
from tests.faults.single_files import SINGLE

__all__ = ["SCENARIOS"]

SCENARIOS = {**SINGLE, **GROUPS, **PLANNED, **GUARDED}
