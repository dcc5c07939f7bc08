"""All contenders of the benchmark read the same devices from the same files. No timing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.invalid_lines import MISTAKES
from bench.rounds import measure
from bench.sample_files import BAD_EACH, EACH_ITS_OWN, MIXED, ONE_SHAPE, WITH_BAD, write, write_head
from bench.validators import CONTENDERS, FLOOR, OURS, PEERS, Counts

#: Each mistake occurs twice; two mistakes require duplicate detection.
DEVICES = 2 * len(MISTAKES) * BAD_EACH
BAD, DUPLICATES = 2 * len(MISTAKES), 2


def count(contender: str, path: Path) -> Counts:
    with path.open("rb") as file:
        return CONTENDERS[contender]()(file)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", [ONE_SHAPE, MIXED, EACH_ITS_OWN])
def test_all_contenders_accept_valid_files(name: str, contender: str, tmp_path: Path) -> None:
    write(tmp_path / "devices", name, DEVICES)
    assert count(contender, tmp_path / "devices") == (DEVICES, DEVICES)


@pytest.mark.parametrize(
    ("contender", "bad"), [(OURS, BAD), *((peer, BAD - DUPLICATES) for peer in PEERS)]
)
def test_invalid_lines_are_reported(contender: str, bad: int, tmp_path: Path) -> None:
    write(tmp_path / "devices", WITH_BAD, DEVICES)
    assert count(contender, tmp_path / "devices") == (DEVICES, DEVICES - bad)


def test_generated_files_are_reproducible_and_of_the_requested_size(tmp_path: Path) -> None:
    for path in (tmp_path / "one", tmp_path / "other"):
        write(path, ONE_SHAPE, DEVICES)
    data = (tmp_path / "one").read_bytes()
    assert data == (tmp_path / "other").read_bytes()
    assert 380 <= len(data) / DEVICES <= 420
    assert json.loads(data.splitlines()[0]).keys() >= {"authentication", "tags", "properties"}


def test_each_contender_is_compared_with_the_baseline_of_its_round(tmp_path: Path) -> None:
    path, head = tmp_path / "devices", tmp_path / "head"
    write(path, ONE_SHAPE, 20)
    write_head(head, path, 5)
    results = measure(path, head, rounds=1)
    assert results.keys() == CONTENDERS.keys()
    assert results[FLOOR].ratios == [1]
    assert [result.samples[0].good for result in results.values()] == [20, 20, 20, 20, 5]
    assert all(result.ratio > 0 and result.peak_bytes > 0 for result in results.values())
