"""Two processes may write the staged file: the first one wins."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from shared.imports.store.import_container import (
    ImportContainer,
    StagedFileChangedError,
)
from shared.storage import blobs
from shared.storage.blobs import BlockWriter

NAME = "devices.txt"
CONTENT = b"".join(b'{"id":"pump-%d"}\n' % number for number in range(100))


@pytest.fixture
def client(storage_connection_string: str) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(storage_connection_string) as service:
        yield service.create_container(f"import-{uuid.uuid4().hex}")


@pytest.fixture(params=[1 << 20, 64], ids=["one block", "many blocks"], autouse=True)
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "CHUNK_BYTES", request.param)


def writer(client: ContainerClient, content: bytes) -> BlockWriter:
    writer = BlockWriter(client.get_blob_client(NAME))
    for line in content.splitlines(keepends=True):
        writer.write(line)
    return writer


def test_same_content_can_be_committed_twice(client: ContainerClient) -> None:
    container = ImportContainer(client)
    first = container.commit_once(writer(client, CONTENT))
    assert container.commit_once(writer(client, CONTENT)) == first
    assert client.download_blob(NAME).readall() == CONTENT
    assert client.get_blob_client(NAME).get_blob_properties().etag == first


@pytest.mark.parametrize(
    "other",
    [b"", CONTENT + b"\n", CONTENT[:-1], CONTENT.replace(b"pump-7", b"pomp-7")],
    ids=["empty", "longer", "shorter", "as long"],
)
def test_different_content_is_not_accepted_as_the_staged_file(
    client: ContainerClient, other: bytes
) -> None:
    client.upload_blob(NAME, other)
    with pytest.raises(StagedFileChangedError):
        ImportContainer(client).commit_once(writer(client, CONTENT))
    assert client.download_blob(NAME).readall() == other
