"""Virtual environments of the supported Python versions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

__all__ = ["SUPPORTED_PYTHONS", "Environment", "build_wheel", "find_python", "find_wheels"]

SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: Variables that uv may need to reach its index; the app does not get them.
FOR_UV = re.compile(r"UV_.*|SSL_.*|.*_CA_BUNDLE|.*_proxy|HOME|TMPDIR|XDG_.*", re.IGNORECASE)
#: Also imports `venv`, which some installations lack.
WHICH = "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"
PROBE = (Path(__file__).parent / "probe.py").read_text()
DEADLINE = 300.0


def find_python(version: str) -> str | None:
    """The path of a Python of that version, or None if not installed."""
    return next(filter(None, (_ask(version, python) for python in _candidates(version))), None)


def _candidates(version: str) -> Iterator[str]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield sys.executable
    if python := shutil.which(f"python{version}"):
        yield python
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted(pyenv.glob(f"versions/{version}.*"), reverse=True):
        if not folder.name.endswith("t"):  # free-threaded
            yield str(folder / "bin/python")


def _ask(version: str, python: str) -> str | None:
    """The path of a Python if it runs and has that version; pyenv shims may fail."""
    try:
        asked = subprocess.run([python, "-c", WHICH], capture_output=True, text=True, check=False)
    except OSError:
        return None
    actual, _, executable = asked.stdout.strip().partition(" ")
    return executable if actual == version else None


class Environment:
    """An empty virtual environment, deleted at the end because it takes 60 MB."""

    def __init__(self, python: str, folder: Path) -> None:
        self._folder = folder
        self.python = str(folder / "bin/python")
        self._variables = {"PATH": f"{folder}/bin:{os.defpath}"}
        _run([python, "-m", "venv", "--without-pip", str(folder)], self._variables)
        [self._packages] = folder.glob("lib/python*/site-packages")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)

    def install(self, requirements: Path) -> None:
        """Install packages without compiling them."""
        self.pip("install", "--only-binary=:all:", "--requirement", str(requirements))

    def pip(self, *arguments: str) -> None:
        """Install with uv, which is about 20 times faster than pip."""
        _uv("pip", *arguments, "--python", self.python)

    def installed_bytes(self) -> int:
        files = self._packages.rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    def probe(self, app: Path) -> dict[str, Any]:
        """Run `probe.py` on the app in a separate process; return its report."""
        done = _run([self.python, "-"], self._variables, app, PROBE)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def run(self, program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run an installed program with only PATH in its environment."""
        command = [str(self._folder / "bin" / program), *arguments]
        return _run(command, self._variables, folder, check=False)


def build_wheel(project: Path, folder: Path) -> Path:
    """Build the project's wheel in this folder, as `pipx install` does."""
    _uv("build", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(project))
    [wheel] = folder.glob("*.whl")
    return wheel


def find_wheels(version: str, requirements: Path) -> None:
    """Check that all pins fit together and have wheels for that Python on Linux (x64)."""
    platform = ("--python-platform", "x86_64-manylinux_2_28", "--python-version", version)
    _uv("pip", "compile", "--only-binary=:all:", *platform, str(requirements))


def _uv(*arguments: str) -> None:
    variables = {name: value for name, value in os.environ.items() if FOR_UV.fullmatch(name)}
    # Settings of pip that have other names in uv.
    if index := os.environ.get("PIP_INDEX_URL"):
        variables.setdefault("UV_DEFAULT_INDEX", index)
    variables["PATH"] = os.environ.get("PATH", os.defpath)
    _run([sys.executable, "-m", "uv", "--quiet", *arguments], variables)


def _run(
    command: Sequence[str],
    variables: Mapping[str, str],
    folder: Path | None = None,
    text: str | None = None,
    *,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        input=text,
        env=variables,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done
