"""Each line of the threat model names tests, and these are there."""

from __future__ import annotations

import re

from local.stack import ROOT


def test_the_lines_of_the_threat_model_have_their_tests() -> None:
    text = (ROOT / "docs/security.md").read_text()
    lines = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", text, re.M)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= 19
    for number, cell in lines:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
        assert tests, f"line {number} names no test"
        for file, test in tests:
            assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_each_test_of_security_holds_a_line() -> None:
    text = (ROOT / "docs/security.md").read_text()
    controls = {
        "test_a_line_that_nobody_wants_costs_nothing",
        "test_the_canary_would_have_seen_it",
    }
    for path in (ROOT / "tests/security").glob("test_*.py"):
        if path.name != "test_document.py":
            there = set(re.findall(r"^def (test_\w+)", path.read_text(), re.M))
            assert {test for test in there - controls if f"::{test}`" not in text} == set()
