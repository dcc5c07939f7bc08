"""Empty environments of the Pythons that the app supports."""

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

__all__ = ["SUPPORTED_PYTHONS", "Environment", "find_python"]

SUPPORTED_PYTHONS = ("3.11", "3.12", "3.13")
#: What uv may need to reach its index; nothing of this reaches the app.
FOR_UV = re.compile(r"UV_.*|SSL_.*|.*_CA_BUNDLE|.*_proxy|HOME|TMPDIR|XDG_.*", re.IGNORECASE)
#: Asks for what an environment takes, too: some installations lack it.
WHICH = "import sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"
INSIDE = (Path(__file__).parent / "inside.py").read_text()
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
    """Where it is, if it runs and is what it is called: pyenv has shims that fail."""
    try:
        asked = subprocess.run([python, "-c", WHICH], capture_output=True, text=True, check=False)
    except OSError:
        return None
    told, _, executable = asked.stdout.strip().partition(" ")
    return executable if told == version else None


class Environment:
    """One environment, with nothing in it; deleted in the end, as it takes 60 MB."""

    def __init__(self, python: str, folder: Path) -> None:
        self._folder = folder
        self.python = str(folder / "bin/python")
        self._variables = {"PATH": f"{folder}/bin:{os.defpath}"}
        self._run([python, "-m", "venv", "--without-pip", str(folder)])
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
        variables = {name: value for name, value in os.environ.items() if FOR_UV.fullmatch(name)}
        # An index of one's own is told to pip.
        if index := os.environ.get("PIP_INDEX_URL"):
            variables.setdefault("UV_DEFAULT_INDEX", index)
        uv = [sys.executable, "-m", "uv", "--quiet", "pip"]
        self._run([*uv, *arguments, "--python", self.python], variables=variables)

    def installed_bytes(self) -> int:
        files = self._packages.rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    def look_inside(self, app: Path) -> dict[str, Any]:
        """What `inside.py` tells of the app, in a process of its own."""
        told: dict[str, Any] = json.loads(self._run([self.python, "-"], app, INSIDE).stdout)
        return told

    def _run(
        self,
        command: Sequence[str],
        folder: Path | None = None,
        text: str | None = None,
        variables: Mapping[str, str] | None = None,
        *,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=folder,
            input=text,
            env={**(variables or {}), **self._variables},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done
