from __future__ import annotations

import pytest

from local.host import Keys
from local.host.keys import Level

KEYS = Keys(host="h", master="m", system="s", functions={"a": "fa", "b": "fb"})


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Level.ANONYMOUS, dict.fromkeys(["", "x", "h", "m", "s", "fa"])),
        (Level.FUNCTION, {"": 401, "x": 401, "h": None, "m": None, "s": 403, "fa": None}),
        (Level.SYSTEM, {"": 401, "x": 401, "h": 403, "m": None, "s": None, "fa": 403}),
        (Level.ADMIN, {"": 401, "x": 401, "h": 403, "m": None, "s": 403, "fa": 403}),
    ],
)
def test_levels(level: Level, expected: dict[str, int | None]) -> None:
    assert {key: KEYS.refusal(key, level, "a") for key in expected} == expected


def test_key_of_another_function() -> None:
    assert KEYS.refusal("fb", Level.FUNCTION, "a") == 401
    assert KEYS.refusal("", Level.FUNCTION, "no key of its own") == 401


def test_made_up_keys() -> None:
    one, other = Keys(), Keys()
    assert len({one.host, one.master, one.system, other.host, other.master, other.system}) == 6
    assert one.host not in repr(one)


def test_a_key_outside_ascii() -> None:
    assert KEYS.refusal("ü\udcff", Level.FUNCTION) == 401
