"""infra/ without Azure: grammar, names, policies, roles, settings, alerts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from docgen.settings import PLATFORM, described
from local.stack import ROOT
from shared.imports.store.import_container import PREFIX
from shared.settings import setting_groups
from tests.checks.bicep import FILES, INFRA, Resource, errors, read
from tests.package.environments import SUPPORTED_PYTHONS

CHECKOV = Path(__file__).parent / ".venv/bin/checkov"

#: Not set in Azure: an alternative is, or the plan sets it.
NOT_IN_AZURE = {"ImporterStorage", "FUNCTIONS_WORKER_RUNTIME"}

#: Symbol: principal, role, scope. A wider role must be added here, so that it is reviewed.
ROLES = {
    "appAtBlobs": ("appPrincipalId", "blobDataContributor", "deviceStorage"),
    "appAtUploads": ("appPrincipalId", "blobDataOwner", "deviceStorage::blobs::uploads"),
    "appAtQueues": ("appPrincipalId", "queueDataContributor", "deviceStorage"),
    "appAtTable": ("appPrincipalId", "tableDataContributor", "deviceStorage::tables::imports"),
    "appAtMonitoring": ("appPrincipalId", "metricsPublisher", "component"),
    "hostAtBlobs": ("appPrincipalId", "blobDataOwner", "hostStorage"),
    "hostAtQueues": ("appPrincipalId", "queueDataContributor", "hostStorage"),
    "hostAtTables": ("appPrincipalId", "tableDataContributor", "hostStorage"),
    "appAtHub": ("appPrincipalId", "dataContributor", "hub"),
    "hubAtImports": ("hubPrincipalId", "blobDataContributor", "deviceStorage"),
    "uploaderAtUploads": ("uploader.id", "blobDataContributor", "deviceStorage::blobs::uploads"),
    "operatorAtBlobs": ("operator.id", "blobDataContributor", "deviceStorage"),
    "operatorAtTable": ("operator.id", "tableDataContributor", "deviceStorage::tables::imports"),
}

#: learn: "Azure built-in roles".
ROLE_IDS = {
    "blobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "blobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "queueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "tableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "metricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "dataContributor": "4fc6c259-987e-4a07-842e-c321cc9d413f",
}


def resource(file: str, symbol: str) -> Resource:
    [match] = [item for item in read(INFRA / file).resources if item.symbol == symbol]
    return match


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_grammar(path: Path) -> None:
    assert errors(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names(path: Path) -> None:
    """Every name is declared, every declaration used, and modules get their parameters."""
    file = read(path)
    assert file.unknown == set()
    text = path.read_text()
    for name in (*file.params, *file.variables):
        assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is not used"
    called = {module.symbol: read(INFRA / module.file) for module in file.modules}
    for module in file.modules:
        params = called[module.symbol].params
        assert module.params <= params.keys(), module.symbol
        assert {name for name, has_default in params.items() if not has_default} <= module.params
    for symbol, output in file.uses:
        assert output in called[symbol].outputs, f"{symbol}.outputs.{output}"


def test_every_file_is_called() -> None:
    called = {module.file for module in read(INFRA / "main.bicep").modules}
    assert {path.name for path in FILES} == called | {"main.bicep", "event-subscription.bicep"}


def test_policies() -> None:
    """checkov reports nothing, and every skipped rule has a reason."""
    options = ("--framework", "bicep", "--skip-download", "--output", "json")
    command = [str(CHECKOV), "--directory", str(INFRA), *options]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    results = json.loads(output)["results"]
    fields = ("check_id", "check_name", "file_path")
    assert [[check[field] for field in fields] for check in results["failed_checks"]] == []
    # Its parser does not know types. That file declares nothing but a resource group and modules.
    assert [Path(path).name for path in results["parsing_errors"]] == ["main.bicep"]
    assert [item.type for item in read(INFRA / "main.bicep").resources] == [
        "Microsoft.Resources/resourceGroups"
    ]
    checked = {check["resource"] for check in results["passed_checks"]}
    assert {"Microsoft.Storage/storageAccounts.account", "Microsoft.Web/sites.app"} <= checked
    for skipped in results["skipped_checks"]:
        assert len(skipped["check_result"]["suppress_comment"]) > 5, skipped["check_id"]


def test_keys_are_disabled() -> None:
    account = resource("storage.bicep", "account").body["properties"]
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["minimumTlsVersion"] == "TLS1_2"
    assert account["supportsHttpsTrafficOnly"] is True
    app = resource("app.bicep", "app").body["properties"]
    assert app["httpsOnly"] is True
    assert app["siteConfig"]["minTlsVersion"] == "1.2"
    for symbol in ("ftp", "scm"):
        assert resource("app.bicep", symbol).body["properties"] == {"allow": False}
    assert resource("monitoring.bicep", "component").body["properties"]["DisableLocalAuth"] is True
    main = (INFRA / "main.bicep").read_text()
    assert "param hubDisableLocalAuth bool = true\n" in main
    sources = "".join(path.read_text() for path in FILES)
    # The key of the webhook, which only the subscription reads.
    keys = re.findall(r"\w*list\w*Keys?\(|listAccountSas|listServiceSas", sources, re.I)
    assert keys == ["listKeys("]


def test_roles() -> None:
    roles = {}
    for item in (item for path in FILES for item in read(path).resources):
        if item.type == "Microsoft.Authorization/roleAssignments":
            properties, scope = item.body["properties"], item.body["scope"]
            principal, role = properties["principalId"], properties["roleDefinitionId"]
            roles[item.symbol] = (principal, role, scope)
            # Azure rejects the same assignment under another name.
            assert item.body["name"] == f"guid({scope}.id, {principal}, {role})"
            assert item.comment, f"{item.symbol} has no comment that says what it is for"
    assert roles == ROLES
    assert {role for _, role, _ in ROLES.values()} == ROLE_IDS.keys()
    variables = read(INFRA / "roles.bicep").variables | read(INFRA / "hub-access.bicep").variables
    for name, role_id in ROLE_IDS.items():
        assert role_id in variables[name]


def test_the_hub_is_limited_to_the_containers_of_imports() -> None:
    properties = resource("roles.bicep", "hubAtImports").body["properties"]
    assert properties["conditionVersion"] == "2.0"
    condition = properties["condition"]
    prefix = re.search(r"containers:name\] StringStartsWith '([^']+)'", condition)
    assert prefix is not None
    assert prefix[1] == PREFIX
    actions = set(re.findall(r"ActionMatches\{'Microsoft\.Storage/\S+/blobs/(\S+)'\}", condition))
    # All data actions of the role: an action that is not listed is not limited.
    assert actions == {"read", "write", "add/action", "delete", "move/action"}


def test_settings_are_the_same_everywhere() -> None:
    """The template sets every setting or accepts it; the sample contains no other."""
    app = read(INFRA / "app.bicep").variables["fixedSettings"]
    main = (INFRA / "main.bicep").read_text()
    [determined] = re.findall(r"settings: union\(\s*\{(.*?)\}", main, re.S)
    by_main = set(re.findall(r"^\s+(\w+):", determined, re.M))
    given = read(INFRA / "main.bicep").types["Settings"]
    assert set(given.values()) == {"string?"}
    assert given.keys().isdisjoint(by_main | app.keys())
    platform = set(re.findall(r"`(\w+)`", "".join(PLATFORM)))
    everywhere = described() | platform
    assert given.keys() | by_main | app.keys() == everywhere - NOT_IN_AZURE
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert sample.keys() <= everywhere | {"AzureWebJobsStorage"}
    fields = (f for group in setting_groups().values() for f in group.model_fields.values())
    needed = {str(f.validation_alias) for f in fields if f.is_required()}
    assert needed <= sample.keys()


def test_the_supported_pythons() -> None:
    main = (INFRA / "main.bicep").read_text()
    [allowed] = re.findall(r"@allowed\(\[(.*)\]\)\n.*\nparam pythonVersion", main)
    # New apps do not start with the oldest.
    assert tuple(re.findall(r"'(.*?)'", allowed)) == SUPPORTED_PYTHONS[1:]


def test_parameters_are_described() -> None:
    main = (INFRA / "main.bicep").read_text()
    described = re.findall(r"@description\('.+'\)\n(?:@metadata\(.*\)\n)?param (\w+)", main)
    assert described == [*read(INFRA / "main.bicep").params]
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() <= set(described)
    guide = (ROOT / "docs/deployment.md").read_text()
    assert [name for name in described if f"`{name}`" not in guide] == []


def test_api_versions() -> None:
    """One version per provider, and no preview."""
    versions: dict[str, set[str]] = {}
    for item in (item for path in FILES for item in read(path).resources):
        if item.version:
            provider = "/".join(item.type.split("/")[:2])
            versions.setdefault(provider, set()).add(item.version)
    assert {provider: used for provider, used in versions.items() if len(used) > 1} == {}
    previews = {provider for provider, used in versions.items() if "preview" in str(used)}
    # This type has preview versions only.
    assert previews == {"Microsoft.Insights/diagnosticSettings"}


def test_each_alert_is_documented() -> None:
    rules = (INFRA / "alerts.bicep").read_text()
    queries = {path.stem for path in (INFRA / "alerts").glob("*.kql")}
    assert set(re.findall(r"loadTextContent\('alerts/(.+?)\.kql'\)", rules)) == queries
    assert set(re.findall(r"^    name: '([\w-]+)'$", rules, re.M)) == queries
    guide = (ROOT / "docs/operations.md").read_text()
    assert set(re.findall(r"^\| `importer-([\w-]+)` \|", guide, re.M)) == queries
