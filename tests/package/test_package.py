"""The published package runs on each supported Python with only `requirements.txt`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.stack import ROOT
from shared.web.routes import ROUTES
from tests.package.environments import SUPPORTED_PYTHONS, Environment, find_python, find_wheels
from tests.package.publishing import published_by_func, published_by_git_rules, write_package

# Each instance downloads the package before its first call, and unpacks it on a disk of 0.8 GB that
# the host's own files, logs and whatever the app writes share.
MAX_PACKAGE_BYTES = 512 * 1024
MAX_INSTALLED_BYTES = 80 * 1024 * 1024
# Half of the worker's startup timeout of one minute; startup takes about one second.
MAX_INDEXING_SECONDS = 30.0

TOP_LEVEL = {"function_app.py", "host.json", "requirements.txt", "shared"}
#: Untracked files of developers and tools next to the app; git ignores only part of them.
LEFT_AT_HOME = (
    ".DS_Store",
    ".azure/config.json",
    ".azure/dev/.env",
    ".coverage",
    ".devcontainer/devcontainer.json",
    ".env",
    ".env.local",
    ".git/hooks/pre-commit",
    ".github/workflows/deploy.yml",
    ".hypothesis/unicode_data/.keep",
    ".idea/workspace.xml",
    ".mypy_cache/.gitignore",
    ".mypy_cache/3.11/cache.db",
    ".pytest_cache/README.md",
    ".ruff_cache/.gitignore",
    ".ruff_cache/CACHEDIR.TAG",
    ".venv/.gitignore",
    ".venv/bin/python",
    ".vscode/settings.json",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "SECURITY.md",
    "__azurite_db_blob__.json",
    "__azurite_db_table__.json",
    "__blobstorage__/0f3a",
    "__pycache__/function_app.cpython-312.pyc",
    "__queuestorage__/0f3a",
    "app.zip",
    "azure.yaml",
    "azurite.log",
    "build/lib/function_app.py",
    "device_importer.egg-info/PKG-INFO",
    "dist/device_importer-1.0-py3-none-any.whl",
    "env/pyvenv.cfg",
    "importer_env/pyvenv.cfg",
    "fleet.csv",
    "fleet.ndjson",
    "fleet.ndjson.gz",
    "function_app.pyc",
    "hub.key",
    "hub.pem",
    "infra/main.bicep",
    "infra/main.parameters.json",
    "local.settings.json",
    "local.settings.json.bak",
    "local/node_modules/.package-lock.json",
    "node_modules/azurite/package.json",
    "package-lock.json",
    "package.json",
    "pytest.ini",
    "shared/.DS_Store",
    "shared/__pycache__/check.cpython-312.pyc",
    "shared/__pycache__/check.cpython-312.pyc.140093",
    "shared/web/.ipynb_checkpoints/app.py",
    "shared/web/__pycache__/app.cpython-312.pyc",
    "shared/web/app.pyc",
    "tests/clients/.venv/bin/python",
    "venv/pyvenv.cfg",
)
#: Dependencies of a local build, in folders with the names of excluded folders.
BUILT = (
    ".python_packages/lib/site-packages/msrest/__init__.py",
    ".python_packages/lib/site-packages/somebody/build/docs.py",
    ".python_packages/lib/site-packages/somebody/tests/local.py",
)
#: Slow imports, which must only happen when needed.
IMPORTED_LATER = {"jinja2", "opentelemetry", "rich", "cli", "shared.web.dispatch"}


@pytest.mark.parametrize("published", [published_by_func, published_by_git_rules])
def test_exactly_the_deployed_files_are_published(published: Any, checkout: Path) -> None:
    """`.funcignore` has the same effect in all tools, with any untracked files."""
    runs = {
        path.relative_to(checkout).as_posix()
        for name in TOP_LEVEL
        for path in (checkout / name, *(checkout / name).rglob("*"))
        if path.is_file()
    }
    for path in (*LEFT_AT_HOME, *BUILT):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text("x")
    assert published(checkout) == runs | set(BUILT)


def test_readme_and_tools_list_the_supported_pythons() -> None:
    first, last = SUPPORTED_PYTHONS[0], SUPPORTED_PYTHONS[-1]
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"Python {first} to {last}" in readme
    assert f"With Python {first} or later" in readme
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["python_version"] == first
    assert tools["ruff"]["target-version"] == f"py{first.replace('.', '')}"


# One test for each Python, since an environment takes ten seconds and cannot be shared between
# processes.
@pytest.mark.parametrize("version", SUPPORTED_PYTHONS)
def test_the_package_runs_with_its_requirements_only(
    version: str, checkout: Path, tmp_path: Path
) -> None:
    python = find_python(version)
    if python is None:
        find_wheels(version, ROOT / "requirements.txt")
        pytest.skip(f"no Python {version} here: only its wheels were checked")
    app = tmp_path / "app"
    write_package(checkout, tmp_path / "app.zip")
    assert (tmp_path / "app.zip").stat().st_size < MAX_PACKAGE_BYTES
    with ZipFile(tmp_path / "app.zip") as package:
        package.extractall(app)

    with Environment(python, tmp_path / "environment") as environment:
        environment.install(app / "requirements.txt")
        environment.pip("check")
        assert environment.installed_bytes() < MAX_INSTALLED_BYTES
        seen = environment.probe(app)
        check_pins(version, app / "requirements.txt", seen["installed"])
        check_functions(version, seen)
        check_imports(app, seen["imported"])


def check_pins(version: str, requirements: Path, installed: dict[str, str]) -> None:
    """Check that the pinned and installed packages match."""
    lines = [line for line in requirements.read_text().splitlines() if line]
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    here = {"python_version": version, "python_full_version": f"{version}.0"}
    wanted = {
        canonicalize_name(pin.name): str(pin.specifier)
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(here)
    }
    assert wanted == {canonicalize_name(name): f"=={it}" for name, it in installed.items()}


def check_functions(version: str, seen: dict[str, Any]) -> None:
    assert seen["functions"] == {
        "import_upload": ["blobTrigger"],
        "advance_hubs": ["timerTrigger"],
        "sweep": ["timerTrigger"],
        **{route.name: ["httpTrigger", "http"] for route in ROUTES},
    }
    assert seen["seconds"] < MAX_INDEXING_SECONDS
    assert IMPORTED_LATER.isdisjoint(seen["modules"])
    # The worker for Python 3.13 and later brings the 2.x line.
    major = "1" if version in ("3.11", "3.12") else "2"
    assert seen["library"].split(".")[0] == major


def check_imports(app: Path, imported: dict[str, str | None]) -> None:
    """Check that no module requires a development dependency."""
    modules = {
        ".".join(path.relative_to(app).with_suffix("").parts).removesuffix(".__init__")
        for path in (app / "shared").rglob("*.py")
    }
    assert modules == {"shared"} | imported.keys()
    assert {module: name for module, name in imported.items() if name is not None} == {}
