"""Plan a device file: validate it, read the registry, and show what the import would change.

Imports nothing of Azure.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

from cli.device_file import open_file, shown_name, size_of
from cli.errors import Exit, UsageError
from cli.output import Output, discard_stdout
from cli.plan_view import LineSpool, PlannedGroups, show_plan, show_summary
from cli.problems import note_problems, show_report, validate
from cli.registry import Registry
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Policy
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action
from shared.plan.planner import PlannedText, plan_file
from shared.plan.report import PlanReport, line_json
from shared.text import well_formed

__all__ = ["DeviceFile", "GoodLines", "plan_device_file"]

_PROGRESS_BYTES = 256 * 1024
_HAS_KEY = re.compile(rb'"(?:primary|secondary)Key"\s*:\s*"[^"]')


class GoodLines:
    """The good lines of a file, in an unlinked temporary file. Iterate over them repeatedly."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        #: Bytes.
        self.size = 0
        #: Whether a line may have symmetric keys.
        self.have_keys = False

    def write(self, batch: bytes) -> None:
        self.size += self._file.write(batch)
        self.have_keys = self.have_keys or _HAS_KEY.search(batch) is not None

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return (line.rstrip(b"\n") for line in self._file)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class DeviceFile:
    """A device file that is to be planned."""

    #: Path, or - for standard input.
    name: str
    validation: Validation
    policy: Policy


ReadRegistry = Callable[[FileDevices, GoodLines], AbstractContextManager[Registry]]


def plan_device_file(
    file: DeviceFile, read_registry: ReadRegistry, output: Output, *, detail: bool
) -> Exit:
    """Validate a file, and show its plan or why it has none.

    Args:
        read_registry: is called if the file may be imported.
        detail: whether each changed line is shown with old and new values.

    Raises:
        CommandError: the registry cannot be read, or there is no room for temporary files.
        OSError: the file cannot be read.
    """
    try:
        with closing(GoodLines()) as lines:
            return _Plan(file, lines, output, detail).make(read_registry)
    except sqlite3.Error as error:
        raise UsageError(
            f"The temporary folder {tempfile.gettempdir()} cannot be used: {error}. Free space in "
            "it, or set TMPDIR to another one."
        ) from None


class _Plan:
    def __init__(self, file: DeviceFile, lines: GoodLines, output: Output, detail: bool) -> None:
        self._file = file
        self._report = file.validation.report
        self._lines = lines
        self._output = output
        self._detail = detail

    def make(self, read_registry: ReadRegistry) -> Exit:
        self._validate()
        if not self._report.may_be_imported(self._file.policy):
            return self._reject()
        if not self._output.is_json:
            note_problems(self._file.name, self._report, self._output)
        devices = FileDevices(self._lines)
        with read_registry(devices, self._lines) as registry:
            return self._show(devices, registry)

    def _validate(self) -> None:
        name, policy, report = self._file.name, self._file.policy, self._report

        def keep(batch: bytes) -> None:
            if policy is Policy.PARTIAL or not report.errors:
                self._lines.write(batch)

        with open_file(name) as stream:
            title = f"checking {shown_name(name)}"
            validate(self._file.validation, stream, title, size_of(stream), self._output, keep)

    def _reject(self) -> Exit:
        if self._output.is_json:
            self._output.json(self._validation_json())
        else:
            show_report(self._file.name, self._report, self._file.policy, self._output)
            self._output.error("No plan was made: the file would be rejected.")
        return Exit.UNSUCCESSFUL

    def _show(self, devices: FileDevices, registry: Registry) -> Exit:
        as_json = self._output.is_json
        report = PlanReport(registry.snapshot, source=registry.source)
        upload_line = self._file.validation.lines.upload_line
        with (
            closing(PlannedGroups(is_complete=self._detail)) as groups,
            closing(LineSpool()) as changes,
        ):
            for line in self._planned(devices, registry):
                number = upload_line(line.number)
                report.add(line, number)
                if line.planned.action is Action.UNCHANGED:
                    continue
                if not as_json:
                    groups.add(line.planned, number)
                elif self._detail:
                    changes.add(line_json(number, line.planned))
            try:
                if as_json:
                    self._write_json(report, changes)
                else:
                    left_out, counts = self._left_out(), report.counts
                    name = shown_name(self._file.name)
                    show_plan(name, registry, counts, groups, left_out, self._output)
                    show_summary(counts, sum(left_out.values()), self._output)
            except BrokenPipeError:
                # The exit status is still that of the plan.
                discard_stdout()
        if self._report.errors or report.counts.actions[Action.FAIL]:
            return Exit.UNSUCCESSFUL
        return Exit.CHANGES if report.counts.sent else Exit.DONE

    def _planned(self, devices: FileDevices, registry: Registry) -> Iterator[PlannedText]:
        done = 0
        title = f"planning {shown_name(self._file.name)}"
        with self._output.progress(title, self._lines.size) as advance:
            for line in plan_file(self._lines, devices, registry.snapshot):
                yield line
                done += len(line.text) + 1
                if done > _PROGRESS_BYTES:
                    advance(done)
                    done = 0

    def _write_json(self, report: PlanReport, changes: LineSpool) -> None:
        plan = report.to_json()
        plan["counts"]["leftOut"] += sum(self._left_out().values())
        value = {**self._validation_json(), **plan}
        if not self._detail:
            self._output.json(value)
            return
        del value["changes"]
        self._output.json({**value, "truncated": False}, {"changes": changes})

    def _validation_json(self) -> dict[str, Any]:
        report, policy = self._report, self._file.policy
        return {
            "file": well_formed(self._file.name),
            "policy": policy,
            "importable": report.may_be_imported(policy),
            "validation": {
                **report.counts_json(),
                "problems": report.problems_json(self._file.name),
            },
        }

    def _left_out(self) -> dict[str, int]:
        """The lines that the validation left out, by what they are."""
        counts = {
            "invalid (policy partial)": self._report.lines - self._report.valid,
            "modules that the hub creates itself": self._report.left_out,
        }
        return {kind: count for kind, count in counts.items() if count}
