from __future__ import annotations

import json

import azure.functions as func
import pytest
from azure.storage.blob import BlobClient as SdkBlobClient
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueServiceClient, TextBase64DecodePolicy
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host import FunctionsHost, UsageError
from tests.host.conftest import HostFactory


@pytest.fixture
def contents() -> list[bytes]:
    """Blob contents in the order in which the function read them."""
    return []


@pytest.fixture
def host(make_host: HostFactory, contents: list[bytes]) -> FunctionsHost:
    app = func.FunctionApp()

    @app.blob_trigger(
        arg_name="upload",
        path="%CONTAINER%/in/{name}",
        connection="Uploads",
        source=func.BlobSource.EVENT_GRID,
    )
    def intake(upload: BlobClient) -> None:
        contents.append(upload.download_blob().readall())

    return make_host(app)


class TestAnnounce:
    def test_no_blob_is_processed_without_an_event(
        self, host: FunctionsHost, uploads: ContainerClient
    ) -> None:
        uploads.upload_blob("in/a.txt", b"1")
        assert host.drain() == 0

    def test_repeated_event_runs_on_the_current_blob(
        self, host: FunctionsHost, uploads: ContainerClient, contents: list[bytes]
    ) -> None:
        uploads.upload_blob("in/a.txt", b"old")
        host.announce(uploads.container_name, "in/a.txt")
        host.announce(uploads.container_name, "in/a.txt")
        uploads.upload_blob("in/a.txt", b"new", overwrite=True)
        assert host.drain() == 2
        assert contents == [b"new", b"new"]

    def test_path_does_not_filter_events(
        self, host: FunctionsHost, uploads: ContainerClient, contents: list[bytes]
    ) -> None:
        uploads.upload_blob("out/a.txt", b"1")
        host.announce(uploads.container_name, "out/a.txt", "intake")
        assert host.drain() == 1
        assert contents == [b"1"]

    def test_no_receipt_is_written(
        self,
        host: FunctionsHost,
        uploads: ContainerClient,
        settings: dict[str, str],
        host_id: str,
    ) -> None:
        uploads.upload_blob("in/a.txt", b"1")
        host.announce(uploads.container_name, "in/a.txt")
        host.drain()
        with BlobServiceClient.from_connection_string(settings["Uploads"]) as service:
            hosts = service.get_container_client("azure-webjobs-hosts")
            if hosts.exists():
                assert not list(hosts.list_blob_names(name_starts_with=f"blobreceipts/{host_id}"))

    def test_event_for_a_deleted_blob(self, host: FunctionsHost, uploads: ContainerClient) -> None:
        host.announce(uploads.container_name, "in/never.txt")
        assert host.drain() == 0

    def test_etag_is_that_of_the_event_and_no_blob_is_needed(
        self, host: FunctionsHost, queues: QueueServiceClient, host_id: str
    ) -> None:
        host.announce("any", "in/never.txt", etag="0x1", blob_type="AppendBlob")
        queue = queues.get_queue_client(
            f"azure-webjobs-blobtrigger-{host_id}", message_decode_policy=TextBase64DecodePolicy()
        )
        [message] = [json.loads(message.content) for message in queue.peek_messages()]
        assert (message["ETag"], message["BlobType"]) == ('"0x1"', "AppendBlob")

    def test_unknown_function(self, host: FunctionsHost) -> None:
        with pytest.raises(UsageError, match="'other'"):
            host.announce("uploads", "a.txt", "other")


class TestArguments:
    def test_sdk_client_comes_from_the_extension(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(arg_name="upload", path="%CONTAINER%/{name}", connection="Uploads")
        def intake(upload: BlobClient) -> object:
            return upload

        uploads.upload_blob("in/a.txt", b"content")
        got = make_host(app).invoke_blob(uploads.container_name, "in/a.txt")
        assert type(got) is SdkBlobClient
        assert (got.container_name, got.blob_name) == (uploads.container_name, "in/a.txt")
        assert got.download_blob().readall() == b"content"

    @pytest.mark.parametrize(
        ("data_type", "expected"),
        [(func.DataType.BINARY, b"\xff\x00"), (None, "\ufffd\x00".encode())],
        ids=["binary", "text-corrupts-bytes"],
    )
    def test_input_stream(
        self,
        make_host: HostFactory,
        uploads: ContainerClient,
        data_type: func.DataType | None,
        expected: bytes,
    ) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(
            arg_name="upload",
            path="%CONTAINER%/{name}",
            connection="Uploads",
            data_type=data_type,
        )
        def intake(upload: func.InputStream) -> tuple[str | None, int | None, bytes]:
            return upload.name, upload.length, upload.read()

        uploads.upload_blob("in/a.bin", b"\xff\x00")
        got = make_host(app).invoke_blob(uploads.container_name, "in/a.bin")
        assert got == (f"{uploads.container_name}/in/a.bin", 2, expected)

    def test_coroutine_function_and_context(
        self, make_host: HostFactory, uploads: ContainerClient
    ) -> None:
        app = func.FunctionApp()

        @app.blob_trigger(arg_name="upload", path="%CONTAINER%/{name}", connection="Uploads")
        async def intake(upload: BlobClient, context: func.Context) -> tuple[str, str, int]:
            return context.function_name, upload.blob_name, context.retry_context.retry_count

        got = make_host(app).invoke_blob(uploads.container_name, "a.txt")
        assert got == ("intake", "a.txt", 0)
