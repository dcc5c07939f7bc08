from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import azurite
from local.azurite import Azurite, AzuriteError
from tests.host.conftest import eventually

PARENT = """
import signal
import sys
from pathlib import Path
from local.azurite import Azurite
azurite = Azurite(location=Path(sys.argv[1]))
azurite.start()
print(azurite.connection_string, flush=True)
signal.pause()
"""


def ports(connection_string: str) -> list[int]:
    return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)/", connection_string)]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_connection_string_has_three_services(storage_connection_string: str) -> None:
    assert len(set(ports(storage_connection_string))) == 3
    assert all(listens(port) for port in ports(storage_connection_string))
    assert "AccountName=devstoreaccount1;AccountKey=Eby8" in storage_connection_string


def test_not_started() -> None:
    with pytest.raises(AzuriteError, match="not running"):
        _ = Azurite().connection_string


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AzuriteError, match=f"127.0.0.1:{port} is in use"):
            Azurite(blob_port=port).start()


def test_node_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(AzuriteError, match=r"install Node\.js"):
        Azurite().start()


def test_package_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(azurite, "_ENTRY_POINT", tmp_path / "azurite.js")
    with pytest.raises(AzuriteError, match="npm ci --prefix local"):
        Azurite().start()


def test_ends_with_a_parent_that_is_killed_and_keeps_the_data(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(azurite.__file__).parents[1],
    ) as parent:
        assert parent.stdout is not None
        taken = ports(parent.stdout.readline())
        assert len(taken) == 3
        parent.kill()
    eventually(lambda: not any(listens(port) for port in taken))
    eventually((tmp_path / "__azurite_db_blob__.json").is_file)
