"""The blobs that an export job writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from iothub_emulator.registry.configurations import Configurations
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.registry import Kind, Registry

#: Live hubs begin an export without keys by a line that is no JSON; its words are not published.
KEYLESS_NOTE = (
    "The keys of the devices are not part of this export: "
    "an import of it would give every device new keys.\n"
)
_BEFORE_ALL = Key("")


def exported_devices(
    registry: Registry, *, with_keys: bool, batch: int, on_batch: Callable[[int], None]
) -> Iterator[bytes]:
    """Lines of devices.txt; ``on_batch`` is told how many are done before more are read."""
    if not with_keys:
        yield KEYLESS_NOTE.encode()
    done, last = 0, _BEFORE_ALL
    while entries := registry.scan(Kind.ALL, last, batch):
        yield b"".join(_dump(entry.to_json(with_keys=with_keys)) for entry in entries)
        done += len(entries)
        last = entries[-1].identity.key
        on_batch(done)


def exported_configurations(configurations: Configurations) -> Iterator[bytes]:
    """Lines of configurations.txt, whose members begin with capitals (live hub)."""
    for configuration in configurations.all():
        yield _dump({f"{name[0].upper()}{name[1:]}": v for name, v in configuration.items()})


def _dump(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
