"""`pipx install .` installs the program with exactly the dependencies that it imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.version import Version

from cli.program import COMMANDS
from local.stack import ROOT
from tests.package.environments import Environment, build_wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [Requirement(line) for line in PROJECT["dependencies"]]

#: Prints the files of the modules that the commands load.
LOADED = """
import importlib, json, pkgutil, sys, cli
for module in pkgutil.walk_packages(cli.__path__, "cli."):
    importlib.import_module(module.name)
own = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OWN}
print(json.dumps([module.__file__ for module in own.values() if module.__file__]))
"""
OWN = ("cli", "shared")


def test_dependencies_agree_with_the_pins() -> None:
    pins = dict(_pins())
    for dependency in DEPENDENCIES:
        [bound] = dependency.specifier
        assert bound.operator == ">="
        # The lower bound is the tested version.
        release = Version(bound.version).release
        assert pins[dependency.name].release[: len(release)] == release, dependency.name


def test_the_program_runs_with_its_dependencies_only(checkout: Path, tmp_path: Path) -> None:
    wheel = build_wheel(checkout, tmp_path / "dist")
    with ZipFile(wheel) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
    assert folders == {*OWN, f"device_importer-{PROJECT['version']}.dist-info"}
    file = tmp_path / "fleet.csv"
    file.write_text("id,status,authentication.type\npump-1,enabled,certificateAuthority\n")

    with Environment(sys.executable, tmp_path / "environment") as environment:
        environment.pip("install", "--only-binary=:all:", str(wheel))
        environment.pip("check")
        help = environment.run("device-importer", "--help", folder=tmp_path)
        assert all(f" {command} " in help.stdout for command in COMMANDS)
        check = environment.run("device-importer", "check", str(file), folder=tmp_path)
        assert (check.returncode, check.stderr) == (0, "")
        check_missing_settings(environment.run("device-importer", "list", folder=tmp_path))
        loaded = environment.run("python", "-c", f"OWN = {OWN}{LOADED}", folder=tmp_path)
        check_dependencies(json.loads(loaded.stdout))


def check_missing_settings(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    for setting in ("ImporterStorage", "IOTHUB", "UPLOAD_CONTAINER"):
        assert f"{setting} is required" in done.stderr
    assert "--settings" in done.stderr


def check_dependencies(modules: list[str]) -> None:
    """Check that imports and dependencies match."""
    names = {dependency.name for dependency in DEPENDENCIES}
    imported: dict[str, str | None] = {}
    for name in {name for module in modules for name in _imports(Path(module))}:
        as_distribution = name.replace("_", "-").replace(".", "-")
        candidates = [name for name in names if f"{as_distribution}-".startswith(f"{name}-")]
        imported[name] = max(candidates, key=len, default=None)
    assert {name for name, distribution in imported.items() if distribution is None} == set()
    assert set(imported.values()) == names


def _imports(module: Path) -> Iterator[str]:
    """Names of third-party modules that the module imports."""
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(name), level=0):
                # A name may be a module: `from azure import functions`.
                names = [f"{name}.{alias.name}" for alias in node.names]
            case _:
                continue
        for name in names:
            if name.partition(".")[0] not in {*sys.stdlib_module_names, *OWN}:
                yield name


def _pins() -> Iterator[tuple[str, Version]]:
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if "==" in line:
                pin = Requirement(line)
                [specifier] = pin.specifier
                yield pin.name, Version(specifier.version)
