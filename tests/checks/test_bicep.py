"""infra/: what the compiler says, where there is one, and what the committed snapshots contain.

Role assignments: test_roles.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from docgen.settings import PLATFORM, described
from local.stack import ROOT
from shared.settings import setting_groups
from shared.web.api import MAX_POSTED_BYTES
from tests.checks.snapshots import DEPLOYMENTS, INFRA, SNAPSHOTS, of_type, snapshot
from tests.package.environments import SUPPORTED_PYTHONS

FILES = sorted(INFRA.glob("*.bicep"))
MAIN = (INFRA / "main.bicep").read_text()
CHECKOV = Path(__file__).parent / ".venv/bin/checkov"

BICEP = shutil.which("bicep")
#: The compiler does not need ICU, which small systems lack.
COMPILER_ENVIRONMENT = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
needs_compiler = pytest.mark.skipif(BICEP is None, reason="bicep is not on the PATH")

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"

#: Not set in Azure: an alternative is, or the plan sets it.
NOT_IN_AZURE = {"ImporterStorage", "FUNCTIONS_WORKER_RUNTIME"}

#: Findings of the policy checker that are accepted, by type of resource, and why.
ACCEPTED = {
    "Microsoft.Storage/storageAccounts": {
        "CKV_AZURE_35": "open to the internet unless the network is private; always Entra ID",
        "CKV_AZURE_59": "the same",
        "CKV_AZURE_206": "a parameter; the default is Standard_ZRS",
    },
    "Microsoft.Web/serverfarms": {
        "CKV_AZURE_225": "another instance resumes work that a zone outage interrupts",
    },
    "Microsoft.Web/sites": {
        "CKV_AZURE_17": "Event Grid sends no client certificate",
        "CKV_AZURE_78": "Flex Consumption has no FTP and rejects its settings",
        "CKV_AZURE_212": "the app scales to zero; a missing timer run fires an alert",
        "CKV_AZURE_213": "Flex Consumption replaces unhealthy instances itself",
        "CKV_AZURE_222": "Event Grid delivers to public endpoints only",
    },
    # checkov applies these to every 'config' resource; none of them is about app settings.
    "Microsoft.Web/sites/config": {
        "CKV_AZURE_13": "endpoints require function keys; docs/security.md describes Entra ID",
        "CKV_AZURE_63": "requests are in Application Insights",
        "CKV_AZURE_65": "errors are in Application Insights",
        "CKV_AZURE_66": "failures are in Application Insights",
        "CKV_AZURE_80": "Python",
        "CKV_AZURE_88": "the app stores no files",
        "CKV_AZURE_222": "as for the app",
    },
}


def compile_with(*arguments: str) -> str:
    """What the compiler prints: nothing if all is well."""
    command = [str(BICEP), *arguments]
    done = subprocess.run(
        command, env=COMPILER_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_compiler
@pytest.mark.parametrize("name", ["main", "event-subscription"])
def test_the_linter_has_nothing_to_say(name: str) -> None:
    assert compile_with("lint", str(INFRA / f"{name}.bicep")) == ""


@needs_compiler
def test_the_format(tmp_path: Path) -> None:
    formatted = shutil.copytree(INFRA, tmp_path / "infra")
    for kind in ("bicep", "bicepparam"):
        compile_with("format", "--pattern", f"{formatted}/**/*.{kind}")
    paths = [*INFRA.rglob("*.bicep"), *INFRA.rglob("*.bicepparam")]
    wrong = {
        path.name
        for path in paths
        if (formatted / path.relative_to(INFRA)).read_text() != path.read_text()
    }
    assert wrong == set(), "run bicep format"


@needs_compiler
@pytest.mark.parametrize("deployment", SNAPSHOTS)
def test_the_snapshots_are_those_of_the_templates(deployment: str) -> None:
    """If a change is intended, run infra/snapshots/write."""
    parameters = str(INFRA / f"snapshots/{deployment}.bicepparam")
    place = ("--subscription-id", SUBSCRIPTION, "--location", "westeurope")
    compile_with("snapshot", parameters, "--mode", "validate", *place)


@needs_compiler
@pytest.mark.parametrize(
    ("contradiction", "problem"),
    [
        ("hubIdentityId = '/x', hubIdentityPrincipalId = 'y'", "is for an existing hub"),
        ("existingHubName = 'fleet', hubIdentityId = '/x'", "Set both"),
        ("privateNetwork = true, jobStorageAuthentication = 'keyBased'", "requires identityBased"),
        ("uploadContainer = 'import-files'", "must not start with import-"),
    ],
)
def test_contradictions_stop_the_deployment(
    tmp_path: Path, contradiction: str, problem: str
) -> None:
    parameters = shutil.copytree(INFRA, tmp_path / "infra") / "wrong.bicepparam"
    values = ["environmentName = 'wrong'", "location = 'westeurope'", *contradiction.split(", ")]
    lines = ["using 'main.bicep'", *(f"param {value}" for value in values)]
    parameters.write_text("\n".join(lines))
    command = [str(BICEP), "snapshot", str(parameters), "--subscription-id", SUBSCRIPTION]
    done = subprocess.run(
        command, env=COMPILER_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert problem in done.stderr


def test_only_completed_block_blobs_make_events() -> None:
    [subscription] = snapshot("event-subscription")
    filters = subscription["properties"]["filter"]["advancedFilters"]
    by_key = {item["key"]: (item["operatorType"], set(item["values"])) for item in filters}
    assert by_key["data.blobType"] == ("StringIn", {"BlockBlob"})
    operator, writes = by_key["data.api"]
    assert operator == "StringIn"
    assert {"PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose", "SftpCommit"} <= writes
    assert not {"CreateFile", "SftpCreate"} & writes


def test_every_file_is_called() -> None:
    called = set(re.findall(r"^(?:module \w+|import .+ from) '(.+?)'", MAIN, re.M))
    called |= {f"{name}.bicep" for name in re.findall(r"^module \w+ '(.+?)\.bicep'", MAIN, re.M)}
    assert {path.name for path in FILES} == called | {"main.bicep", "event-subscription.bicep"}


def test_policies(tmp_path: Path) -> None:
    """checkov reports nothing that is not accepted, and everything that is."""
    for deployment in DEPLOYMENTS:
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": snapshot(deployment),
        }
        (tmp_path / f"{deployment}.json").write_text(json.dumps(template))
    options = ("--framework", "arm", "--skip-download", "--output", "json")
    command = [str(CHECKOV), "--directory", str(tmp_path), *options]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    results = json.loads(output)["results"]
    assert results["parsing_errors"] == []
    failed: dict[str, set[str]] = {}
    for check in results["failed_checks"]:
        failed.setdefault(check["resource"].rpartition(".")[0], set()).add(check["check_id"])
    assert failed == {kind: reasons.keys() for kind, reasons in ACCEPTED.items()}
    checked = {check["resource"].rpartition(".")[0] for check in results["passed_checks"]}
    assert {"Microsoft.Storage/storageAccounts", "Microsoft.Web/sites"} <= checked


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_keys_are_disabled(deployment: str) -> None:
    accounts = of_type(deployment, "Microsoft.Storage/storageAccounts")
    assert len(accounts) == 2
    for account in accounts:
        assert account["properties"]["allowSharedKeyAccess"] is False
        assert account["properties"]["allowBlobPublicAccess"] is False
        assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
        assert account["properties"]["supportsHttpsTrafficOnly"] is True
    [app] = of_type(deployment, "Microsoft.Web/sites")
    assert app["properties"]["httpsOnly"] is True
    assert app["properties"]["siteConfig"]["minTlsVersion"] == "1.2"
    policies = of_type(deployment, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert [policy["properties"] for policy in policies] == [{"allow": False}] * 2
    [component] = of_type(deployment, "Microsoft.Insights/components")
    assert component["properties"]["DisableLocalAuth"] is True


def test_the_new_hub_has_no_shared_access_policies() -> None:
    [hub] = of_type("new-hub", "Microsoft.Devices/IotHubs")
    assert hub["properties"]["disableLocalAuth"] is True


def test_no_template_reads_keys() -> None:
    sources = "".join(path.read_text() for path in FILES)
    # The key of the webhook, which only the subscription reads.
    keys = re.findall(r"\w*list\w*Keys?\(|listAccountSas|listServiceSas", sources, re.I)
    assert keys == ["listKeys("]


def test_the_private_network() -> None:
    for account in of_type("private-network", "Microsoft.Storage/storageAccounts"):
        assert account["properties"]["networkAcls"]["defaultAction"] == "Deny"
    [app] = of_type("private-network", "Microsoft.Web/sites")
    assert app["properties"]["virtualNetworkSubnetId"].endswith("/subnets/app")
    assert len(of_type("private-network", "Microsoft.Network/privateEndpoints")) == 6
    assert of_type("new-hub", "Microsoft.Network/virtualNetworks") == []


@pytest.mark.parametrize(
    ("deployment", "takes_uploads"), [("new-hub", True), ("private-network", False)]
)
def test_only_the_dashboard_may_upload_from_browsers(deployment: str, takes_uploads: bool) -> None:
    """The private network has no dashboard (HTTP_ENDPOINTS=api)."""
    services = of_type(deployment, "Microsoft.Storage/storageAccounts/blobServices")
    rules = [rule for item in services for rule in item["properties"]["cors"]["corsRules"]]
    if not takes_uploads:
        assert rules == []
        return
    [rule] = rules
    [app] = of_type(deployment, "Microsoft.Web/sites")
    assert rule["allowedOrigins"] == [f"https://{app['name']}.azurewebsites.net"]
    assert set(rule["allowedMethods"]) == {"PUT", "OPTIONS"}
    assert "*" not in rule["allowedHeaders"]
    assert rule["exposedHeaders"] == []


def app_settings(deployment: str) -> dict[str, str]:
    settings: dict[str, str]
    [settings] = [
        config["properties"]
        for config in of_type(deployment, "Microsoft.Web/sites/config")
        if "appsettings" in config["name"]
    ]
    return settings


def test_settings_are_the_same_everywhere() -> None:
    """The template sets every setting or accepts it; the sample contains no other."""
    by_template = app_settings("new-hub").keys()
    [declared] = re.findall(r"^type Settings = \{\n(.*?)^\}", MAIN, re.M | re.S)
    accepted = dict(re.findall(r"^  (\w+): (.+)$", declared, re.M))
    assert set(accepted.values()) == {"string?"}
    assert accepted.keys().isdisjoint(by_template)
    platform = set(re.findall(r"`(\w+)`", "".join(PLATFORM)))
    everywhere = described() | platform
    assert accepted.keys() | by_template == everywhere - NOT_IN_AZURE
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert sample.keys() <= everywhere | {"AzureWebJobsStorage"}
    fields = (f for group in setting_groups().values() for f in group.model_fields.values())
    needed = {str(f.validation_alias) for f in fields if f.is_required()}
    assert needed <= sample.keys()


def test_given_settings_reach_the_app() -> None:
    settings = app_settings("private-network")
    assert settings["VALIDATION_POLICY"] == "partial"
    assert settings["HTTP_ENDPOINTS"] == "api"


@pytest.mark.parametrize(
    ("deployment", "apply"), [("new-hub", "all"), ("private-network", "changes")]
)
def test_what_is_sent_is_a_parameter(deployment: str, apply: str) -> None:
    assert app_settings(deployment)["APPLY"] == apply


def test_memory_bounds_requests() -> None:
    host = json.loads((ROOT / "host.json").read_text())["extensions"]["http"]
    for deployment, memory, expected in (("new-hub", 2048, 4), ("private-network", 512, 1)):
        [app] = of_type(deployment, "Microsoft.Web/sites")
        scale = app["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        assert scale["instanceMemoryMB"] == memory
        assert scale["triggers"]["http"]["perInstanceConcurrency"] == expected
        settings = app_settings(deployment)
        name = "AzureFunctionsJobHost__extensions__http__maxConcurrentRequests"
        assert settings[name] == str(expected)
        assert expected <= host["maxConcurrentRequests"]
        # Else the host answers 500 before the app can explain.
        assert int(settings["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"]) > MAX_POSTED_BYTES


def test_the_supported_pythons() -> None:
    [allowed] = re.findall(r"@allowed\(\[(.*)\]\)\n.*\nparam pythonVersion", MAIN)
    assert tuple(re.findall(r"'(.*?)'", allowed)) == SUPPORTED_PYTHONS


def test_parameters_are_described() -> None:
    parameters = re.findall(r"^param (\w+)", MAIN, re.M)
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() <= set(parameters)
    guide = (ROOT / "docs/deployment.md").read_text()
    assert [name for name in parameters if f"`{name}`" not in guide] == []


def versions() -> Iterator[tuple[str, str]]:
    for path in FILES:
        for kind, version in re.findall(r"'(Microsoft\.[\w./]+)@([\w-]+)'", path.read_text()):
            yield "/".join(kind.split("/")[:2]), version


def test_api_versions() -> None:
    """One version per provider, and no preview."""
    used: dict[str, set[str]] = {}
    for provider, version in versions():
        used.setdefault(provider, set()).add(version)
    assert {provider: some for provider, some in used.items() if len(some) > 1} == {}
    previews = {provider for provider, some in used.items() if "preview" in str(some)}
    # This type has preview versions only.
    assert previews == {"Microsoft.Insights/diagnosticSettings"}


def test_each_alert_is_documented() -> None:
    rules = (INFRA / "alerts.bicep").read_text()
    queries = {path.stem for path in (INFRA / "alerts").glob("*.kql")}
    assert set(re.findall(r"loadTextContent\('alerts/(.+?)\.kql'\)", rules)) == queries
    deployed = of_type("new-hub", "Microsoft.Insights/scheduledQueryRules")
    assert {item["name"] for item in deployed} == {f"importer-{name}" for name in queries}
    guide = (ROOT / "docs/operations.md").read_text()
    assert set(re.findall(r"^\| `importer-([\w-]+)` \|", guide, re.M)) == queries


def test_every_rule_of_the_linter_is_decided() -> None:
    """Each rule that is off has its reason above it."""
    lines = (INFRA / "bicepconfig.json").read_text().splitlines()
    for before, line in pairwise(lines):
        if '"off"' in line:
            assert before.strip().startswith("// "), line
