"""Empty environments of the supported Pythons, and what is installed into them."""

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

__all__ = ["SUPPORTED_PYTHONS", "Environment", "build_wheel", "find_python"]

SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13")
#: What uv may need to reach its index; nothing of this reaches the app.
FOR_UV = re.compile(r"UV_.*|SSL_.*|.*_CA_BUNDLE|.*_proxy|HOME|TMPDIR|XDG_.*", re.IGNORECASE)
#: Asks for what an environment takes, too: some installations lack it.
WHICH = "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"
PROBE = (Path(__file__).parent / "probe.py").read_text()
DEADLINE = 300.0


def find_python(version: str) -> str | None:
    """A Python of that version, if this machine has one."""
    return next(filter(None, (_ask(version, python) for python in _candidates(version))), None)


def _candidates(version: str) -> Iterator[str]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted(pyenv.glob(f"versions/{version}.*"), reverse=True):
        if not folder.name.endswith("t"):  # free-threaded
            yield str(folder / "bin/python")


def _ask(version: str, python: str) -> str | None:
    """The path of a Python, if it runs and has that version: pyenv has shims that fail."""
    try:
        asked = subprocess.run([python, "-c", WHICH], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found, _, executable = asked.stdout.strip().partition(" ")
    return executable if found == version else None


class Environment:
    """One environment, with nothing in it; deleted in the end, as it takes 60 MB."""

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
        """Install what is asked for, without compiling: a remote build has a minute."""
        self.pip("install", "--only-binary=:all:", "--requirement", str(requirements))

    def pip(self, *arguments: str) -> None:
        """As pip would, in a twentieth of the time."""
        _uv("pip", *arguments, "--python", self.python)

    def installed_bytes(self) -> int:
        files = self._packages.rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    def look_inside(self, app: Path) -> dict[str, Any]:
        """The report of `probe.py` about the app, from a process of its own."""
        done = _run([self.python, "-"], self._variables, app, PROBE)
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def run(self, program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run an installed program, with no other variable than PATH."""
        command = [str(self._folder / "bin" / program), *arguments]
        return _run(command, self._variables, folder, check=False)


def build_wheel(project: Path, folder: Path) -> Path:
    """Build the wheel of the project in this folder, as `pipx install` does."""
    _uv("build", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(project))
    [wheel] = folder.glob("*.whl")
    return wheel


def _uv(*arguments: str) -> None:
    variables = {name: value for name, value in os.environ.items() if FOR_UV.fullmatch(name)}
    # Settings of pip that uv calls otherwise.
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
