"""The role assignments in infra/."""

from __future__ import annotations

import re

import pytest

from shared.imports.store.import_container import PREFIX, container_name, snapshot_name
from tests.checks.snapshots import DEPLOYMENTS, Resource, of_type, snapshot

#: Principal, role, scope. A wider role must be added here, so that it is reviewed.
ROLES = {
    ("app", "blob data contributor", "devices"),
    ("app", "blob data owner", "devices/uploads"),
    ("app", "queue data contributor", "devices"),
    ("app", "table data contributor", "devices/imports"),
    ("app", "metrics publisher", "component"),
    ("app", "blob data owner", "host"),
    ("app", "queue data contributor", "host"),
    ("app", "table data contributor", "host"),
    ("app", "hub data contributor", "hub"),
    ("hub", "blob data contributor", "devices"),
}
#: Those of the parameters of the second deployment.
ROLES_OF_PEOPLE = {
    ("uploader", "blob data contributor", "devices/uploads"),
    ("operator", "blob data contributor", "devices"),
    ("operator", "table data contributor", "devices/imports"),
}
PRINCIPALS = {
    "22222222-2222-2222-2222-222222222222": "uploader",
    "33333333-3333-3333-3333-333333333333": "operator",
    "identity": "app",
    "hubAccess": "hub",
}
#: learn: "Azure built-in roles".
ROLE_IDS = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "blob data owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "blob data contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "queue data contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "table data contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "metrics publisher",
    "4fc6c259-987e-4a07-842e-c321cc9d413f": "hub data contributor",
}


def test_names_of_resources_are_known_before_the_deployment() -> None:
    """Otherwise a preview (`azd provision --preview`, what-if) could not show them."""
    unknown = [
        (item["type"], item["properties"]["roleDefinitionId"].rpartition("/")[2])
        for deployment in DEPLOYMENTS
        for item in snapshot(deployment)
        if "reference(" in item["id"] + item["name"] + item.get("condition", "")
    ]
    # The role of the app at the hub, which is not deleted with the app.
    [hub_role] = [key for key, name in ROLE_IDS.items() if name == "hub data contributor"]
    assert unknown == [("Microsoft.Authorization/roleAssignments", hub_role)] * 2


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [("new-hub", ROLES), ("private-network", ROLES | ROLES_OF_PEOPLE)],
)
def test_roles(deployment: str, expected: set[tuple[str, str, str]]) -> None:
    assignments = of_type(deployment, "Microsoft.Authorization/roleAssignments")
    assert {described_role(item) for item in assignments} == expected
    assert len(assignments) == len(expected)


def described_role(assignment: Resource) -> tuple[str, str, str]:
    properties = assignment["properties"]
    scope, _, _ = assignment["id"].partition("/providers/Microsoft.Authorization/")
    principal = properties["principalId"]
    # The output of a module.
    if module := re.search(r"format\('(\w+)-", principal):
        principal = module[1]
    role_id = properties["roleDefinitionId"].rpartition("/")[2]
    return PRINCIPALS[principal], ROLE_IDS[role_id], scope_of(scope)


def scope_of(resource_id: str) -> str:
    account = re.search(
        r"/storageAccounts/st(devices|host)\w+(?:/\w+/default/(\w+)/.+)?$", resource_id
    )
    if account:
        parts = {"containers": "/uploads", "tables": "/imports", None: ""}
        return account[1] + parts[account[2]]
    kinds = {"/components/": "component", "/IotHubs/": "hub"}
    [kind] = [name for part, name in kinds.items() if part in resource_id]
    return kind


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_the_hub_is_limited_to_the_containers_of_imports(deployment: str) -> None:
    assignments = of_type(deployment, "Microsoft.Authorization/roleAssignments")
    [assignment] = [item for item in assignments if "condition" in item["properties"]]
    assert described_role(assignment)[0] == "hub"
    properties = assignment["properties"]
    assert properties["conditionVersion"] == "2.0"
    condition = properties["condition"]
    prefix = re.search(r"containers:name\] StringStartsWith '([^']+)'", condition)
    assert prefix is not None
    assert prefix[1] == PREFIX
    import_id = "0" * 24
    assert container_name(import_id).startswith(prefix[1])
    assert snapshot_name(import_id).startswith(prefix[1])
    actions = set(re.findall(r"ActionMatches\{'Microsoft\.Storage/\S+/blobs/(\S+)'\}", condition))
    # All data actions of the role: an action that is not listed is not limited.
    assert actions == {"read", "write", "add/action", "delete", "move/action"}
