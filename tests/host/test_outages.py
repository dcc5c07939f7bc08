from __future__ import annotations

import re
import threading

import azure.functions as func
import pytest
from azure.core.exceptions import ServiceRequestError
from azurefunctions.extensions.bindings.blob import BlobClient

from local.host import HostError, OutageError, storage
from tests.host.conftest import HostFactory


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
