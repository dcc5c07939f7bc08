"""A device file on its way into the upload container."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlobClient

from shared.storage.client import CHUNK_BYTES

__all__ = ["send"]

#: Blocks that are sent at the same time, each of which is in memory.
_AT_ONCE = 4


def send(
    blob: BlobClient,
    stream: BinaryIO,
    metadata: Mapping[str, str],
    *,
    overwrite: bool,
    advance: Callable[[int], None],
) -> Mapping[str, Any]:
    """Upload a file as a blob; nobody sees a part of it.

    Args:
        advance: is told of the bytes that have arrived.

    Returns:
        ETag and time of the blob, as storage tells them.

    Raises:
        ResourceExistsError: there is such a blob, which is not to be overwritten.
    """
    first = stream.read(CHUNK_BYTES)
    second = stream.read(CHUNK_BYTES)
    if not second:
        sent: Mapping[str, Any] = blob.upload_blob(
            first, overwrite=overwrite, metadata=dict(metadata)
        )
        advance(len(first))
        return sent
    blocks: list[BlobBlock] = []

    def stage(block: BlobBlock, data: bytes) -> None:
        blob.stage_block(block.id, data)
        advance(len(data))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pieces in _batches(first, second, stream):
            some = [BlobBlock(uuid.uuid4().hex) for _ in pieces]
            list(pool.map(stage, some, pieces))
            blocks += some
    condition: dict[str, Any] = {} if overwrite else {"match_condition": MatchConditions.IfMissing}
    committed: Mapping[str, Any] = blob.commit_block_list(
        blocks, metadata=dict(metadata), **condition
    )
    return committed


def _batches(first: bytes, second: bytes, stream: BinaryIO) -> Iterator[list[bytes]]:
    """The file in pieces, as many at once as are sent at once."""
    pieces = [first, second]
    while pieces:
        while len(pieces) < _AT_ONCE and (piece := stream.read(CHUNK_BYTES)):
            pieces.append(piece)
        yield pieces
        piece = stream.read(CHUNK_BYTES)
        pieces = [piece] if piece else []
