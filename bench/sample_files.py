"""Files for the benchmarks: the same ones each time, written as streams."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.devices import Device, alike, each_its_own, made_up_id, mixed
from bench.invalid_lines import MISTAKES

__all__ = [
    "BAD_EACH",
    "EACH_ITS_OWN",
    "FILES",
    "MIXED",
    "ONE_SHAPE",
    "WITH_BAD",
    "write",
    "write_head",
]

#: One line in so many is broken.
BAD_EACH = 20

ONE_SHAPE, WITH_BAD, MIXED, EACH_ITS_OWN = "one shape", "5 % bad", "mixed", "each its own"


def write(path: Path, name: str, count: int) -> None:
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in FILES[name](count))


def write_head(path: Path, whole: Path, count: int) -> None:
    """The first lines of a file as a file of their own."""
    with whole.open("rb") as lines, path.open("wb") as file:
        file.writelines(itertools.islice(lines, count))


def _with_bad(count: int) -> Iterator[bytes]:
    mistakes = itertools.cycle(MISTAKES)
    for number, device in enumerate(alike(count), 1):
        if number % BAD_EACH:
            yield _line(device)
        else:
            broken = next(mistakes)(device, made_up_id(number - 1))
            yield broken if isinstance(broken, bytes) else _line(broken)


def _line(device: Device) -> bytes:
    return json.dumps(device, ensure_ascii=False, separators=(",", ":")).encode()


FILES: Mapping[str, Callable[[int], Iterator[bytes]]] = {
    ONE_SHAPE: lambda count: map(_line, alike(count)),
    WITH_BAD: _with_bad,
    MIXED: lambda count: map(_line, mixed(count)),
    EACH_ITS_OWN: lambda count: map(_line, each_its_own(count)),
}
