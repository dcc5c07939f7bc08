"""Made-up devices with keys, tags and desired properties, about 400 bytes each."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Device", "alike", "each_its_own", "made_up_id", "mixed"]

Device = dict[str, Any]

_SITES = ("Halle Süd", "Kraków", "Plant 4", "東京", "São Paulo", "Depot north", "Gate 17")
_WORDS = ("pump", "valve", "sensor", "meter", "gauge", "motor", "relay", "cooler")
#: So many that two devices hardly ever draw the same ones.
_NAMES = tuple(f"{word}{part}" for word in _WORDS for part in ("Id", "Site", "Rate", "Mode", "On"))


def made_up_id(number: int) -> str:
    return f"pump-{number:07}"


def alike(count: int) -> Iterator[Device]:
    """They differ in their values alone."""
    chance = random.Random("alike")
    for number in range(1, count + 1):
        yield {
            "id": made_up_id(number),
            "status": "disabled" if number % 10 == 3 else "enabled",
            "authentication": _sas(number),
            "tags": {
                "site": f"plant-{chance.randint(1, 40)}",
                "place": {"building": chance.choice("ABCDEF"), "floor": chance.randint(-1, 12)},
            },
            "properties": {
                "desired": {
                    "interval": chance.randint(1, 3600),
                    "threshold": round(chance.uniform(-20, 120), 2),
                    "firmware": f"{chance.randint(1, 4)}.{chance.randint(0, 30)}",
                    "alarm": {"high": chance.randint(50, 99), "on": chance.random() < 0.9},
                }
            },
            "capabilities": {"iotEdge": number % 50 == 0},
        }


def mixed(count: int) -> Iterator[Device]:
    """Of several kinds, with this or that member left out, in no order."""
    chance = random.Random("mixed")
    for number in range(1, count + 1):
        desired: Device = {"interval": chance.randint(1, 3600)}
        if chance.random() < 0.5:
            desired["alarm"] = {"high": chance.randint(50, 99), "on": chance.random() < 0.9}
        device = {
            "id": made_up_id(number),
            "status": chance.choice(("enabled", "disabled")),
            "authentication": _authentication(number, chance),
            "tags": _some_tags(chance),
            "properties": {"desired": desired},
        }
        if chance.random() < 0.2:
            device["capabilities"] = {"iotEdge": chance.random() < 0.5}
        yield device


def each_its_own(count: int) -> Iterator[Device]:
    """The worst case: the tags of each have other names than those of all before it."""
    chance = random.Random("each its own")
    for number in range(1, count + 1):
        names = chance.sample(_NAMES, chance.randint(6, 10))
        yield {
            "id": made_up_id(number),
            "status": "enabled",
            "authentication": _sas(number),
            "tags": {name: _anything(chance) for name in names},
        }


def _authentication(number: int, chance: random.Random) -> Device:
    match chance.choices(("sas", "selfSigned", "certificateAuthority"), (5, 3, 2))[0]:
        case "sas":
            return _sas(number)
        case "selfSigned":
            thumbprints = {"primaryThumbprint": _digest(number, "first").hex()}
            if chance.random() < 0.5:
                thumbprints["secondaryThumbprint"] = _digest(number, "second").hex()
            return {"type": "selfSigned", "x509Thumbprint": thumbprints}
    return {"type": "certificateAuthority"}


def _sas(number: int) -> Device:
    keys = {
        name: base64.b64encode(_digest(number, name)).decode()
        for name in ("primaryKey", "secondaryKey")
    }
    return {"type": "sas", "symmetricKey": keys}


def _digest(number: int, which: str) -> bytes:
    return hashlib.sha256(f"made up {number} {which}".encode()).digest()


def _some_tags(chance: random.Random) -> Device:
    tags: Device = {
        "site": chance.choice(_SITES),
        "line": chance.randint(1, 9),
        "critical": chance.random() < 0.1,
        "note": f"{chance.choice(_WORDS)} {chance.randint(1, 999)}, {chance.choice(_SITES)}",
        "roles": chance.sample(_WORDS, chance.randint(1, 4)),
    }
    return {name: value for name, value in tags.items() if chance.random() < 0.8}


def _anything(chance: random.Random) -> object:
    values: Sequence[object] = (
        chance.randint(0, 9999),
        round(chance.uniform(-9, 9), 3),
        chance.choice(_SITES),
        chance.random() < 0.5,
        {"unit": chance.choice(_WORDS)},
        [chance.randint(0, 99) for _ in range(chance.randint(0, 4))],
    )
    return chance.choice(values)
