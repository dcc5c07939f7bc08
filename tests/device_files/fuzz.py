"""Random damage to device files: `python -m tests.device_files.fuzz [--inputs N] [--seed S]`.

The hub emulator, which has its own reader, must accept all staged lines.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from iothub_emulator.errors import ErrorCode
from iothub_emulator.registry.registry import Registry
from shared.device_files.characters import INVISIBLE
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.validation import Validation
from shared.device_files.validation_report import Report
from tests.device_files.damage import damaged
from tests.device_files.mutations import CONNECTION_STRING
from tests.device_files.support import KEY, OTHER_KEY, cut
from tests.device_files.writing import small_pieces
from tests.emulator.support import import_line

MAX_SECONDS = 5
_BLOCK = 250

_SMALL = Limits(
    max_devices=40,
    max_line_bytes=4096,
    max_file_bytes=64 * 1024,
    max_expansion=20,
    max_problems=20,
    max_deletes=3,
)
#: Room for gzip files to expand more than they may, of which the first MiB is free.
_ROOMY = Limits(max_file_bytes=4 * 1024 * 1024, max_expansion=20)
_DEFAULT = Limits()

#: Errors that a registry also returns for good lines, depending on its content.
_OF_THE_REGISTRY = frozenset(
    {
        ErrorCode.DeviceNotFound,
        ErrorCode.ModuleNotFound,
        ErrorCode.DeviceAlreadyExists,
        ErrorCode.ModuleAlreadyExistsOnDevice,
        ErrorCode.PreconditionFailed,
    }
)
#: Parts of the keys in the inputs, which reports must not contain.
_PIECE = 16
_PLANTED = [
    secret[start : start + _PIECE]
    for secret in (KEY, OTHER_KEY, CONNECTION_STRING[CONNECTION_STRING.index("SharedAccessKey=") :])
    for start in range(len(secret) - _PIECE + 1)
]
_ROOT = Path(__file__).parents[2]
_OWN = {
    _ROOT / "shared/device_files",
    _ROOT / "emulator/iothub_emulator",
    _ROOT / "tests/device_files",
}
#: Characters that are stripped around lines.
_SKIPPED = f"{INVISIBLE} \t\r\n"
_FIXED = {"member-case", "member-dotted", "value-case"}


def strict_json(text: str) -> Any:
    """Parse JSON by RFC 8259 and RFC 7493: no duplicate name, no lone surrogate."""
    value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name occurs twice")
    return members


def staged_values(staged: bytes) -> list[Any]:
    """Parse the staged lines; fail if a line is not valid for the hub."""
    registry = Registry()
    values = []
    for line in staged.split(b"\n")[:-1]:
        text = line.decode()
        assert "\r" not in text, "readers of .NET end lines at a lone CR too"
        values.append(strict_json(text))
        error = import_line(registry, text)
        refusal = json.loads(error)["errorCode"] if error else None
        assert refusal is None or refusal in _OF_THE_REGISTRY, f"staged, but rejected: {error}"
    return values


@dataclass
class Tally:
    """Statistics of a run."""

    inputs: int = 0
    accepted_lines: int = 0
    slowest: float = 0
    #: Number of inputs by format and by problem code.
    formats: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    #: Number of failures and smallest input by failure.
    failed: Counter[str] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.accepted_lines += other.accepted_lines
        self.slowest = max(self.slowest, other.slowest)
        for mine, others in (
            (self.formats, other.formats),
            (self.codes, other.codes),
            (self.failed, other.failed),
        ):
            mine.update(others)
        for failure, data in other.failures.items():
            self.keep(failure, data)

    def keep(self, failure: str, data: bytes) -> None:
        self.failures[failure] = min(self.failures.get(failure, data), data, key=len)


def examine(data: bytes, tally: Tally) -> None:
    """Validate an input with options derived from its bytes, so that it can be repeated.

    Raises:
        Exception: The validator, the emulator or this module has a bug.
    """
    rng = random.Random(hashlib.sha256(data).digest())
    limits = rng.choice((_SMALL, _SMALL, _ROOMY, _DEFAULT))
    options: dict[str, Any] = {
        "name": rng.choice(("", "", "devices.txt", "devices.csv", "devices.CSV.gz")),
        "defaults": rng.choice((CsvDefaults(), CsvDefaults("enabled", "create"))),
        "confirmed_deletes": rng.choice((0, 2, 1000)),
    }
    sizes = [1 + len(data) // rng.choice((1, 2, 7, 50, 300)) for _ in range(2)]
    staged, validation = _validated(data, limits, sizes[0], options)
    report = validation.report
    tally.accepted_lines += report.valid
    tally.formats[report.format or "none"] += 1
    tally.codes.update(report.codes.keys())
    values = staged_values(staged)
    assert len(values) == report.valid <= report.lines, "the count of valid lines is wrong"
    uploaded = [validation.lines.upload_line(n + 1) for n in range(report.valid)]
    assert uploaded == sorted(uploaded), "lines are out of order"
    _examine_problems(report)
    is_stripped_inside = report.format.startswith("json") and "line-invisible" in report.codes
    if not report.errors and not is_stripped_inside:
        meant = _values_of(data, report.format)
        assert meant is None or len(meant) == report.valid, "lines are missing"
        assert meant in (None, values) or _FIXED & report.codes.keys(), "lines were changed"
    if sizes[0] != sizes[1] and not report.is_unusable and "line-too-long" not in report.codes:
        again, second = _validated(data, limits, sizes[1], options)
        assert again == staged, "what is staged depends on the chunks"
        assert second.report.codes == report.codes, "problems depend on the chunks"


def _examine_problems(report: Report) -> None:
    problems = report.problems_json("devices.ndjson")
    shown = json.dumps([report.counts_json(), problems], ensure_ascii=False)
    shown += "".join(report.problems_csv())
    shown.encode()
    # A part of a key without its padding cannot be distinguished from a random id.
    for problem in problems:
        if _PIECE <= len(problem["id"]) < len(KEY) - 1:
            shown = shown.replace(problem["id"], "")
    assert not any(piece in shown for piece in _PLANTED), "a planted key is shown"


def _validated(
    data: bytes, limits: Limits, chunk_bytes: int, options: dict[str, Any]
) -> tuple[bytes, Validation]:
    validation = Validation(limits, **options)
    return b"".join(validation.run(cut(data, chunk_bytes))), validation


def _values_of(data: bytes, form: str) -> list[Any] | None:
    """Content of a file without errors, read by another parser; None for CSV."""
    if form.startswith("csv"):
        return None
    unpacked = gzip.decompress(data) if form.endswith("+gzip") else data
    plain = unpacked.rstrip(b"\0\r\n\x1a").decode("utf-8-sig")
    if form.startswith("json"):
        values = strict_json(plain.strip(_SKIPPED))
        if isinstance(values, dict):
            (values,) = (value for value in values.values() if isinstance(value, list))
        assert isinstance(values, list)
        return values
    lines = (line.strip(_SKIPPED) for line in plain.split("\n"))
    return [strict_json(line) for line in lines if line]


def fuzz(seed: int, numbers: range) -> Tally:
    """Create and examine the inputs with these numbers."""
    tally = Tally()
    for number in numbers:
        attempt(damaged(random.Random(f"{seed} {number}")), tally)
    return tally


def attempt(data: bytes, tally: Tally) -> None:
    started = time.process_time()
    tally.inputs += 1
    try:
        with small_pieces(), time_limit():
            examine(data, tally)
    except Exception as error:
        failure = _named(error)
        tally.failed[failure] += 1
        tally.keep(failure, data)
    tally.slowest = max(tally.slowest, time.process_time() - started)


def _named(error: Exception) -> str:
    """Identify a failure by its exception and its location in the project."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent in _OWN] or frames
    message = str(error).partition(":")[0] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} {message} at {Path(own[-1].filename).name}:{own[-1].lineno}"


@contextmanager
def time_limit() -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"an input takes more than {MAX_SECONDS} s")

    # CPU time, independent of the load of the machine.
    old = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


def _block(work: tuple[int, range]) -> Tally:
    return fuzz(*work)


def _run(seed: int, inputs: int) -> Tally:
    """Run on all processors."""
    total = Tally()
    blocks = [
        (seed, range(start, min(start + _BLOCK, inputs))) for start in range(0, inputs, _BLOCK)
    ]
    shown = started = time.monotonic()
    with multiprocessing.Pool() as pool:
        for tally in pool.imap_unordered(_block, blocks):
            total.add(tally)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                speed = total.inputs / (shown - started)
                print(f"{total.inputs:,} inputs, {speed:,.0f} a second", flush=True)
        pool.close()
        pool.join()
    return total


def _write_failures(failures: dict[str, bytes], failed: Counter[str]) -> None:
    for failure, times in failed.most_common():
        data = failures[failure]
        path = Path(tempfile.gettempdir()) / f"fuzz-{hashlib.sha256(data).hexdigest()[:16]}"
        path.write_bytes(data)
        print(f"FAILED {times:,} times: {failure}")
        print(f"  {len(data):,} bytes: python -m tests.device_files.fuzz --replay {path}")


def _replay(path: Path) -> int:
    with small_pieces(), time_limit():
        examine(path.read_bytes(), tally := Tally())
    print(f"passed: {dict(tally.formats)}, {sorted(tally.codes)}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device_files.fuzz")
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="examine one input again")
    args = parser.parse_args()
    if args.replay:
        return _replay(args.replay)
    total = _run(args.seed, args.inputs)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{total.inputs:,} inputs, {total.accepted_lines:,} lines accepted")
    print("formats:", ", ".join(f"{form} {n:,}" for form, n in total.formats.most_common()))
    print(
        f"{len(total.codes)} codes:",
        ", ".join(f"{c} {n:,}" for c, n in sorted(total.codes.items())),
    )
    print(f"slowest {total.slowest:.2f} s, peak of a process {peak:,.0f} MiB")
    _write_failures(total.failures, total.failed)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
