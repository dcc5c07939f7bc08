"""The files of a folder that are published, by its `.funcignore` as each tool reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from local.stack import ROOT

__all__ = ["copy_checkout", "published_by_func", "published_by_git_rules", "write_package"]

RULES = ".funcignore"


def git(folder: Path, *arguments: str) -> list[str]:
    """The paths that git lists, ignoring the repository variables that hooks set."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, check=True)
    return [os.fsdecode(path) for path in done.stdout.split(b"\0") if path]


def copy_checkout(to: Path) -> None:
    """Copy tracked files and new modules, without scratch files."""
    tracked = git(ROOT, "ls-files", "-z")
    new = git(ROOT, "ls-files", "-z", "--others", "--exclude-standard", "shared", "cli")
    for path in (*tracked, *new):
        if (ROOT / path).is_file():  # skip deleted files
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, to / path)


def published_by_git_rules(root: Path) -> set[str]:
    """Published files if the rules are read like `.gitignore`, as by azd and the GitHub action."""
    git(root, "init", "--quiet")
    return set(git(root, "ls-files", "-z", "--others", f"--exclude-from={RULES}"))


def published_by_func(root: Path) -> set[str]:
    """Published files by `func`, which has its own parser and excludes some names by default."""
    rules = [line.strip() for line in (root / RULES).read_text().splitlines()]
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    ignored = [_without_func_exclusions(rule) for rule in rules if not rule.startswith("!")]
    excepted = [_without_func_exclusions(rule[1:]) for rule in rules if rule.startswith("!")]
    return {
        path
        for path in _files(root)
        if any(rule.match(path) for rule in excepted)
        or not any(rule.match(path) for rule in ignored)
    }


def write_package(root: Path, package: Path) -> None:
    """Zip the files that `func` publishes."""
    with ZipFile(package, "w", ZIP_DEFLATED) as file:
        for path in sorted(published_by_func(root)):
            file.write(root / path, path)


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = set(folders) - {".git", ".vscode"}
        for name in set(names) - {RULES, ".gitignore", "local.settings.json", "project.lock.json"}:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _without_func_exclusions(rule: str) -> re.Pattern[str]:
    """A pattern that matches the start of a path up to a word boundary, as `func` does."""
    wildcards = {"**": ".+", "*": "[^/]+"}
    parts = re.split(r"(\*\*?)", rule.removeprefix("/"))
    text = "".join(wildcards.get(part, re.escape(part)) for part in parts)
    return re.compile(rf"(?:{text})\b", re.ASCII)
