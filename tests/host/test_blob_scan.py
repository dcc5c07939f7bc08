from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import ResourceNotFoundError, ServiceRequestError
from azure.storage.blob import BlobClient as SdkBlobClient
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient, TextBase64DecodePolicy
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host import FunctionsHost, HostError, OutageError, UsageError, storage
from local.host.messages import MessageLease
from tests.host.conftest import HOST_JSON, HostFactory, eventually

NAMES = (
    " a  b ",
    "100%2F%20.txt",
    "a#b?c+d&e.txt",
    "\U0001f600.txt",
    "a\u0308.txt",
    "\u00e4.txt",
    "tab\tname",
    "a//b",
    "{name}",
    "x" * 1024,
)

Body = Callable[[SdkBlobClient], object]


def blob_app(body: Body, path: str = "%CONTAINER%/{name}") -> func.FunctionApp:
    app = func.FunctionApp()

    @app.function_name("intake")
    @app.blob_trigger(arg_name="upload", path=path, connection="Uploads")
    def intake(upload: BlobClient) -> object:
        return body(upload)

    return app


def with_threshold(tries: int) -> dict[str, Any]:
    return {**HOST_JSON, "extensions": {"blobs": {"poisonBlobThreshold": tries}}}


class TestScan:
    def test_existing_blobs_are_processed_once(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        names: list[str] = []
        uploads.upload_blob("a.txt", b"1")
        uploads.upload_blob("b.txt", b"2")
        host = make_host(blob_app(lambda blob: names.append(blob.blob_name)))

        assert host.drain() == 2
        assert host.drain() == 0
        assert sorted(names) == ["a.txt", "b.txt"]

    def test_another_host_does_not_repeat_but_an_overwrite_does(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        app = blob_app(lambda blob: None)
        uploads.upload_blob("a.txt", b"1")
        assert make_host(app).drain() == 1

        restarted = make_host(app)
        assert restarted.drain() == 0
        uploads.upload_blob("a.txt", b"2", overwrite=True)
        assert restarted.drain() == 1

    def test_receipt_is_stored_where_the_real_host_stores_it(
        self,
        make_host: HostFactory,
        uploads: ContainerClient,
        settings: dict[str, str],
        host_id: str,
    ) -> None:
        etag = uploads.upload_blob("in/a.txt", b"1").get_blob_properties().etag
        make_host(blob_app(lambda blob: None)).scan_once()

        assert etag.startswith('"0x')
        name = (
            f"blobreceipts/{host_id}/Host.Functions.intake/{etag}/{uploads.container_name}/in/a.txt"
        )
        with BlobServiceClient.from_connection_string(settings["Uploads"]) as service:
            receipt = service.get_blob_client("azure-webjobs-hosts", name).get_blob_properties()
        assert (receipt.size, receipt.metadata) == (0, {})

    def test_missing_container_is_waited_for(
        self, make_host: HostFactory, settings: dict[str, str]
    ) -> None:
        host = make_host(blob_app(lambda blob: None))
        assert host.drain() == 0
        with BlobServiceClient.from_connection_string(settings["Uploads"]) as service:
            container = service.get_container_client(settings["CONTAINER"])
            assert not container.exists()
            container.create_container()
            container.upload_blob("late.txt", b"1")
        assert host.drain() == 1

    def test_pattern_spans_folders_and_excludes_other_blobs(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        names: list[str] = []
        for name in ("in/a.txt", "in/deep/er/b.txt", "in/c.csv", "out/d.txt"):
            uploads.upload_blob(name, b"1")
        app = blob_app(lambda blob: names.append(blob.blob_name), "%CONTAINER%/in/{name}.txt")

        assert make_host(app).drain() == 2
        assert sorted(names) == ["in/a.txt", "in/deep/er/b.txt"]

    def test_every_name_arrives_exactly(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        names: list[str] = []
        for name in NAMES:
            uploads.upload_blob(name, b"1")
        uploads.upload_blob("line\nbreak", b"1")

        assert make_host(blob_app(lambda blob: names.append(blob.blob_name))).drain() == len(NAMES)
        assert sorted(names) == sorted(NAMES)


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


class TestByHand:
    def test_one_delivery_returns_and_raises_what_the_function_does(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        uploads.upload_blob("a.txt", b"content")
        host = make_host(blob_app(lambda blob: blob.download_blob().readall()))
        assert host.invoke_blob(uploads.container_name, "a.txt") == b"content"

        def fail(blob: SdkBlobClient) -> None:
            raise ValueError("bad file")

        with pytest.raises(ValueError, match="bad file"):
            make_host(blob_app(fail)).invoke_blob(uploads.container_name, "a.txt", "intake")

    def test_unknown_container_needs_a_function(self, make_host: HostFactory) -> None:
        with pytest.raises(UsageError, match="found: none"):
            make_host(blob_app(lambda blob: None)).invoke_blob("elsewhere", "a.txt")


class TestBackground:
    def test_upload_reaches_the_function(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        arrived = threading.Event()
        make_host(blob_app(lambda blob: arrived.set())).start()
        uploads.upload_blob("a.txt", b"1")
        assert arrived.wait(10)

    def test_parallelism_of_host_json_is_the_limit(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        lock = threading.Lock()
        running: list[int] = [0]
        highest: list[int] = [0]
        finished: list[str] = []
        pair = threading.Barrier(2)

        def meet(blob: SdkBlobClient) -> None:
            with lock:
                running[0] += 1
                highest[0] = max(highest[0], running[0])
            pair.wait(10)
            with lock:
                running[0] -= 1
                finished.append(blob.blob_name)

        for number in range(4):
            uploads.upload_blob(f"{number}.txt", b"1")
        make_host(blob_app(meet)).start()
        eventually(lambda: len(finished) == 4)
        assert highest == [2]

    def test_failures_are_retried(self, make_host: HostFactory, uploads: ContainerClient) -> None:
        tries: list[int] = []
        done = threading.Event()

        def fail_once(blob: SdkBlobClient) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise ConnectionError("transient")
            done.set()

        uploads.upload_blob("a.txt", b"1")
        make_host(blob_app(fail_once)).start()
        assert done.wait(10)

    def test_stop_waits_for_the_invocation_and_leaves_no_thread(
        self, settings: dict[str, str], uploads: ContainerClient, host_id: str
    ) -> None:
        started, finish, ended = threading.Event(), threading.Event(), threading.Event()

        def slow(blob: SdkBlobClient) -> None:
            started.set()
            finish.wait(10)
            ended.set()

        before = set(threading.enumerate())
        uploads.upload_blob("a.txt", b"1")
        with FunctionsHost(blob_app(slow), settings, HOST_JSON, host_id, 0.1):
            assert started.wait(10)
            threading.Timer(0.1, finish.set).start()
        assert ended.is_set()
        eventually(lambda: set(threading.enumerate()) <= before)


class TestOutage:
    """The connection of the trigger names a port where nothing listens."""

    @pytest.fixture(autouse=True)
    def _short(self, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage, "OUTAGE_SECONDS", 0.1)
        settings["Uploads"] = re.sub(r"(127\.0\.0\.1):\d+", r"\1:1", settings["Uploads"])

    @pytest.mark.parametrize(
        "source", [func.BlobSource.LOGS_AND_CONTAINER_SCAN, func.BlobSource.EVENT_GRID]
    )
    def test_host_ends(self, make_host: HostFactory, source: func.BlobSource) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(
            arg_name="upload", path="elsewhere/{name}", connection="Uploads", source=source
        )
        def intake(upload: BlobClient) -> None:
            pytest.fail("must not run")

        host = make_host(app)
        host.start()
        if source is func.BlobSource.EVENT_GRID:
            host.announce("elsewhere", "a.txt")
        assert host.stopping.wait(20)
        with pytest.raises(OutageError, match=r"ServiceRequestError"):
            host.stop()

    def test_host_lives_on_when_storage_comes_back(self) -> None:
        failures: list[HostError] = []
        answers = iter([ServiceRequestError("away"), ServiceRequestError("away"), "answer"])

        def request() -> object:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        class Clock(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                return False

        assert storage.Outages(Clock(), failures.append).outlast(request) == "answer"
        assert failures == []

    def test_stop_does_not_wait_for_storage(self) -> None:
        stop = threading.Event()
        stop.set()

        def request() -> None:
            raise ServiceRequestError("away")

        with pytest.raises(ServiceRequestError):
            storage.Outages(stop, lambda _: pytest.fail("must not end")).outlast(request)


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
