"""The hook that azd runs after it has deployed the app, with stand-ins for az and curl."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_pwsh
import yaml
from tree_sitter import Language, Parser

from local.stack import ROOT
from tests.checks.snapshots import INFRA

HOOKS = INFRA / "hooks"
SHELL = HOOKS / "postdeploy.sh"
POWERSHELL = HOOKS / "postdeploy.ps1"

OUTPUTS = {
    "AZURE_RESOURCE_GROUP": "rg-fleet",
    "EVENT_TOPIC": "topic",
    "FUNCTION_APP": "importer",
    "FUNCTION_APP_HOST": "importer.example",
    "UPLOAD_CONTAINER": "device-uploads",
}
SCRIPTS = [SHELL, INFRA / "snapshots/write", ROOT / "tests/web/browser/install", ROOT / ".ci/run"]


class Programs:
    """A folder with the programs that the script calls; each records its arguments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.install("curl", "exit 22")

    def install(self, name: str, script: str) -> None:
        program = self._folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self._folder}/calls"\n{script}\n')
        program.chmod(0o755)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._folder}:{os.defpath}"
        environment = {"PATH": path, "KEY_PAUSE_SECONDS": "0", **variables}
        return subprocess.run(
            [SHELL], env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    @property
    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_it_waits_for_the_key_and_subscribes(programs: Programs, tmp_path: Path) -> None:
    """The key exists at the third request. Its value is never requested."""
    requests = f'"{tmp_path}/requests"'
    programs.install(
        "az",
        f"""[ "$1" = functionapp ] || exit 0
echo >> {requests}
[ "$(wc -l < {requests})" -ge 3 ] && echo true || echo false""",
    )
    done = programs.run(**OUTPUTS)
    assert (done.returncode, done.stderr) == (0, "")
    *waits, deployment = programs.calls
    call, key = waits[:2]
    assert waits == [call, key, call, key, call, key]
    assert "--query systemKeys.blobs_extension != null" in key
    assert call.endswith(" https://importer.example/")
    assert deployment == (
        "az deployment group create --resource-group rg-fleet --name event-subscription "
        f"--template-file {HOOKS}/../event-subscription.bicep --output none "
        "--parameters topicName=topic appName=importer uploadContainer=device-uploads"
    )


def test_it_stops_at_its_deadline(programs: Programs) -> None:
    programs.install("az", "echo 'not signed in' >&2; exit 1")
    done = programs.run(**OUTPUTS, KEY_DEADLINE_SECONDS="0")
    assert done.returncode == 1
    assert "importer" in done.stderr
    # The error of az says why.
    assert "not signed in" in done.stderr


def test_a_rejected_subscription_is_retried(programs: Programs, tmp_path: Path) -> None:
    """Event Grid cannot validate the webhook while the host is starting."""
    programs.install(
        "az",
        f"""[ "$1" = functionapp ] && echo true && exit
mkdir "{tmp_path}/tried" && echo 'validation failed' >&2 && exit 3
exit 0""",
    )
    done = programs.run(**OUTPUTS)
    assert done.returncode == 0
    assert "validation failed" in done.stderr
    assert [call.split()[1] for call in programs.calls if call.startswith("az")] == [
        *("functionapp", "deployment"),
        *("functionapp", "deployment"),
    ]


@pytest.mark.parametrize("absent", OUTPUTS)
def test_a_missing_output(programs: Programs, absent: str) -> None:
    done = programs.run(**{name: value for name, value in OUTPUTS.items() if name != absent})
    assert done.returncode != 0
    assert absent in done.stderr
    assert programs.calls == []


def test_the_template_returns_what_it_reads() -> None:
    outputs = re.findall(r"^output (\w+)", (INFRA / "main.bicep").read_text(), re.M)
    assert OUTPUTS.keys() <= set(outputs)
    given = set(re.findall(r"(\w+)=\$", SHELL.read_text())) - {"deadline"}
    subscription = (INFRA / "event-subscription.bicep").read_text()
    assert given == set(re.findall(r"^param (\w+)", subscription, re.M))


def test_powershell_does_the_same() -> None:
    parser = Parser(Language(tree_sitter_pwsh.language()))
    assert not parser.parse(POWERSHELL.read_bytes()).root_node.has_error
    assert calls_of_az(POWERSHELL, "`\n") == calls_of_az(SHELL, "\\\n")


def calls_of_az(script: Path, continuation: str) -> list[list[str]]:
    """The arguments of its calls of az, without the syntax of the shell."""
    text = script.read_text().replace(continuation, "")
    text = re.sub(r"\$env:|\$\(dirname \"\$0\"\)|\$PSScriptRoot|[$\"]", "", text)
    return [
        call.split() for call in re.findall(r"^.*?\b(az (?:functionapp|deployment) .*)", text, re.M)
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shell_scripts(script: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert os.access(script, os.X_OK) or script.name == "run"


def test_azd_finds_its_files() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert project["infra"] == {"provider": "bicep", "path": "infra"}
    assert project["services"] == {
        "importer": {"project": ".", "language": "py", "host": "function"}
    }
    assert "'azd-service-name': 'importer'" in (INFRA / "app.bicep").read_text()
    hook = project["hooks"]["postdeploy"]
    assert [ROOT / hook[system]["run"] for system in ("posix", "windows")] == [SHELL, POWERSHELL]
