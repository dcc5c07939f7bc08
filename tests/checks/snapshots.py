"""The committed snapshots: the resources that the compiler predicts (infra/snapshots/write)."""

from __future__ import annotations

import functools
import json
from typing import Any

from local.stack import ROOT

__all__ = ["DEPLOYMENTS", "INFRA", "SNAPSHOTS", "Resource", "of_type", "snapshot"]

INFRA = ROOT / "infra"
DEPLOYMENTS = ("new-hub", "private-network")
SNAPSHOTS = (*DEPLOYMENTS, "event-subscription")

Resource = dict[str, Any]


@functools.cache
def snapshot(deployment: str) -> tuple[Resource, ...]:
    content = json.loads((INFRA / f"snapshots/{deployment}.snapshot.json").read_text())
    assert content["diagnostics"] == []
    return tuple(content["predictedResources"])


def of_type(deployment: str, resource_type: str) -> list[Resource]:
    return [item for item in snapshot(deployment) if item["type"] == resource_type]
