from __future__ import annotations

import threading

import pytest
from azure.storage.blob import BlobClient as SdkBlobClient
from azure.storage.blob import BlobServiceClient, ContainerClient

from local.host import FunctionsHost, UsageError
from tests.host.conftest import HOST_JSON, HostFactory, blob_app, eventually

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

    def test_a_dot_folder_is_passed_over(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        names: list[str] = []
        # The SDK makes slashes of these, which clients do not resolve.
        uploads.upload_blob("a\\..\\b", b"1")
        uploads.upload_blob("c.txt", b"2")
        assert {blob.name for blob in uploads.list_blobs()} == {"a/../b", "c.txt"}
        host = make_host(blob_app(lambda blob: names.append(blob.blob_name)))

        assert host.drain() == 1
        assert names == ["c.txt"]

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
