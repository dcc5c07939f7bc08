from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobClient as SdkBlobClient
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueServiceClient, TextBase64DecodePolicy
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host.messages import MessageLease
from tests.host.conftest import HOST_JSON, HostFactory, blob_app, eventually


def with_threshold(tries: int) -> dict[str, Any]:
    return {**HOST_JSON, "extensions": {"blobs": {"poisonBlobThreshold": tries}}}


def poison_messages(queues: QueueServiceClient, container: str) -> list[str]:
    """Poison messages of one container, left in the queue that tests share."""
    queue = queues.get_queue_client(
        "webjobs-blobtrigger-poison", message_decode_policy=TextBase64DecodePolicy()
    )
    try:
        messages = [message.content for message in queue.peek_messages(32)]
    except ResourceNotFoundError:
        return []
    return [message for message in messages if container in message]


class TestDelivery:
    def test_changed_blob_is_dropped_and_its_new_version_processed(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        contents: list[bytes] = []
        host = make_host(blob_app(lambda blob: contents.append(blob.download_blob().readall())))
        uploads.upload_blob("a.txt", b"old")
        host.scan_once()
        uploads.upload_blob("a.txt", b"new", overwrite=True)

        assert host.drain() == 1
        assert contents == [b"new"]

    def test_deleted_blob_is_not_a_failure(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        host = make_host(blob_app(lambda blob: pytest.fail("must not run")))
        uploads.upload_blob("a.txt", b"1")
        host.scan_once()
        uploads.delete_blob("a.txt")
        assert host.drain() == 0

    def test_failure_is_retried_until_success(
        self, make_host: HostFactory, uploads: ContainerClient, queues: QueueServiceClient
    ) -> None:
        tries: list[int] = []

        def fail_twice(blob: SdkBlobClient) -> None:
            tries.append(len(tries))
            if len(tries) <= 2:
                raise ConnectionError("transient")

        uploads.upload_blob("a.txt", b"1")
        host = make_host(blob_app(fail_twice))
        assert host.drain() == 3
        assert host.drain() == 0
        assert poison_messages(queues, uploads.container_name) == []

    def test_last_failure_moves_the_message_to_the_poison_queue(
        self, make_host: HostFactory, uploads: ContainerClient, queues: QueueServiceClient
    ) -> None:
        def fail(blob: SdkBlobClient) -> None:
            raise ConnectionError("still down")

        etag = uploads.upload_blob("in/ä.txt", b"1").get_blob_properties().etag
        assert make_host(blob_app(fail)).drain() == 5
        assert poison_messages(queues, uploads.container_name) == [
            "{\n"
            '  "Type": "BlobTrigger",\n'
            '  "FunctionId": "Host.Functions.intake",\n'
            '  "BlobType": "BlockBlob",\n'
            f'  "ContainerName": "{uploads.container_name}",\n'
            '  "BlobName": "in/ä.txt",\n'
            f'  "ETag": {json.dumps(etag)}\n'
            "}"
        ]

    def test_threshold_of_host_json_counts(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        def fail(blob: SdkBlobClient) -> None:
            raise ConnectionError("still down")

        uploads.upload_blob("a.txt", b"1")
        assert make_host(blob_app(fail), with_threshold(2)).drain() == 2

    def test_message_whose_host_died_in_every_attempt_is_poison(
        self,
        make_host: HostFactory,
        uploads: ContainerClient,
        queues: QueueServiceClient,
        host_id: str,
    ) -> None:
        host = make_host(blob_app(lambda blob: pytest.fail("must not run")), with_threshold(2))
        uploads.upload_blob("a.txt", b"1")
        host.scan_once()
        queue = queues.get_queue_client(f"azure-webjobs-blobtrigger-{host_id}")
        for _ in range(2):
            message = queue.receive_message(visibility_timeout=60)
            assert message is not None
            queue.update_message(message, visibility_timeout=0)

        assert host.drain() == 0
        assert len(poison_messages(queues, uploads.container_name)) == 1

    def test_message_of_a_host_that_died_comes_again(
        self,
        make_host: HostFactory,
        uploads: ContainerClient,
        queues: QueueServiceClient,
        host_id: str,
    ) -> None:
        host = make_host(blob_app(lambda blob: None))
        uploads.upload_blob("a.txt", b"1")
        host.scan_once()
        queue = queues.get_queue_client(f"azure-webjobs-blobtrigger-{host_id}")
        assert MessageLease.receive(queue, seconds=1) is not None
        eventually(lambda: host.drain() == 1)

    def test_other_messages_and_a_deleted_queue_do_not_stop_delivery(
        self,
        make_host: HostFactory,
        uploads: ContainerClient,
        queues: QueueServiceClient,
        host_id: str,
    ) -> None:
        seen: list[str] = []
        host = make_host(blob_app(lambda blob: seen.append(blob.blob_name)))
        host.start()
        uploads.upload_blob("a.txt", b"1")
        eventually(lambda: seen == ["a.txt"])
        queue = queues.get_queue_client(f"azure-webjobs-blobtrigger-{host_id}")
        for garbage in ("not Base64!", "//4=", "e30=", "W10=", "bm8="):
            queue.send_message(garbage)
        uploads.upload_blob("b.txt", b"1")
        eventually(lambda: seen == ["a.txt", "b.txt"])
        eventually(lambda: queue.get_queue_properties().approximate_message_count == 0)
        queue.delete_queue()
        uploads.upload_blob("c.txt", b"1")
        eventually(lambda: seen == ["a.txt", "b.txt", "c.txt"])
        assert not host.stopping.is_set()

    def test_exit_is_a_failure(self, make_host: HostFactory, uploads: ContainerClient) -> None:
        """It would end a thread of the host instead of the worker."""
        host = make_host(blob_app(lambda blob: sys.exit(1)))
        uploads.upload_blob("a.txt", b"1")
        with pytest.raises(RuntimeError, match=r"sys\.exit"):
            host.invoke_blob(uploads.container_name, "a.txt")

    def test_message_of_another_apps_function_is_dropped(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        uploads.upload_blob("a.txt", b"1")
        make_host(blob_app(lambda blob: None)).scan_once()
        renamed = func.FunctionApp()

        @renamed.blob_trigger(arg_name="upload", path="elsewhere/{name}", connection="Uploads")
        def other(upload: BlobClient) -> None:
            pytest.fail("must not run")

        assert make_host(renamed).drain() == 0

    def test_event_of_the_webhook_keeps_its_etag(
        self, make_host: HostFactory, uploads: ContainerClient, queues: QueueServiceClient
    ) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(
            arg_name="upload",
            path="any/{name}",
            connection="Uploads",
            source=func.BlobSource.EVENT_GRID,
        )
        def intake(upload: BlobClient) -> None:
            raise ConnectionError("still down")

        url = uploads.upload_blob("a.txt", b"1").url
        host = make_host(app)
        host.start()
        request = urllib.request.Request(
            f"{host.address}/runtime/webhooks/blobs?functionName=Host.Functions.intake",
            json.dumps({"data": {"url": url, "blobType": "BlockBlob", "eTag": "0x1"}}).encode(),
            {"aeg-event-type": "Notification"},
        )
        with urllib.request.urlopen(request, timeout=10):
            eventually(lambda: poison_messages(queues, uploads.container_name))
        [message] = poison_messages(queues, uploads.container_name)
        assert json.loads(message)["ETag"] == '"0x1"'
