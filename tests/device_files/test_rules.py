"""docs/validation.md matches the rules."""

from __future__ import annotations

from pathlib import Path

from shared.device_files.rules import Rule

DOCUMENT = Path(__file__).parents[2] / "docs" / "validation.md"


def test_the_document_matches_the_rules() -> None:
    rules = DOCUMENT.read_text().partition("\n## Rules\n")[2]
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in rules.splitlines()
        if line.startswith("| `")
    ]
    assert rows == [
        (f"`{rule.code}`", rule.severity.value, rule.meaning, rule.remedy, rule.source)
        for rule in Rule
    ]


def test_codes_are_distinct_and_rules_complete() -> None:
    """Enum members with equal values would be silently merged."""
    assert len({rule.code for rule in Rule}) == len(Rule.__members__)
    assert all(rule.meaning and rule.remedy and rule.source for rule in Rule)
