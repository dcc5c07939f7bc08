"""What azd runs after it has deployed the app, with az and curl stood in for."""

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
from tests.checks.bicep import INFRA, read

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
SCRIPTS = [SHELL, ROOT / "tests/web/browser/install", ROOT / ".ci/run"]


class Bench:
    """A folder with programs of the names that the script calls; each notes its arguments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.says("curl", "exit 22")

    def says(self, name: str, script: str) -> None:
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
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_waits_for_the_key_and_subscribes(bench: Bench, tmp_path: Path) -> None:
    """Twice there is no key yet; its value is never asked for."""
    seen = f'"{tmp_path}/seen"'
    bench.says(
        "az",
        f"""[ "$1" = functionapp ] || exit 0
echo >> {seen}
[ "$(wc -l < {seen})" -ge 3 ] && echo true || echo false""",
    )
    done = bench.run(**OUTPUTS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Uploads to device-uploads are announced to importer.\n")
    *waits, deployment = bench.calls
    call, key = waits[:2]
    assert waits == [call, key, call, key, call, key]
    assert "--query systemKeys.blobs_extension != null" in key
    assert call.endswith(" https://importer.example/")
    assert deployment == (
        "az deployment group create --resource-group rg-fleet --name event-subscription "
        f"--template-file {HOOKS}/../event-subscription.bicep --output none "
        "--parameters topicName=topic appName=importer uploadContainer=device-uploads"
    )


def test_it_gives_up(bench: Bench) -> None:
    bench.says("az", "echo 'not signed in' >&2; exit 1")
    done = bench.run(**OUTPUTS, KEY_DEADLINE_SECONDS="0")
    assert done.returncode == 1
    assert "Uploads are not announced to importer" in done.stderr
    # Why it could not be asked for is what helps.
    assert "not signed in" in done.stderr


def test_a_subscription_that_is_refused_is_tried_again(bench: Bench, tmp_path: Path) -> None:
    """While the host starts, it does not answer Event Grid."""
    bench.says(
        "az",
        f"""[ "$1" = functionapp ] && echo true && exit
mkdir "{tmp_path}/tried" && echo 'validation failed' >&2 && exit 3
exit 0""",
    )
    done = bench.run(**OUTPUTS)
    assert done.returncode == 0
    assert "validation failed" in done.stderr
    assert [call.split()[1] for call in bench.calls if call.startswith("az")] == [
        *("functionapp", "deployment"),
        *("functionapp", "deployment"),
    ]


@pytest.mark.parametrize("absent", OUTPUTS)
def test_an_output_is_missing(bench: Bench, absent: str) -> None:
    done = bench.run(**{name: value for name, value in OUTPUTS.items() if name != absent})
    assert done.returncode != 0
    assert absent in done.stderr
    assert bench.calls == []


def test_what_it_reads_is_what_the_template_gives() -> None:
    assert OUTPUTS.keys() <= read(INFRA / "main.bicep").outputs
    given = set(re.findall(r"(\w+)=\$", SHELL.read_text())) - {"deadline"}
    assert given == read(INFRA / "event-subscription.bicep").params.keys()


def test_powershell_does_the_same() -> None:
    parser = Parser(Language(tree_sitter_pwsh.language()))
    assert not parser.parse(POWERSHELL.read_bytes()).root_node.has_error
    assert calls_of_az(POWERSHELL, "`\n") == calls_of_az(SHELL, "\\\n")


def calls_of_az(script: Path, continuation: str) -> list[list[str]]:
    """The arguments of its calls of az, in one form."""
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
