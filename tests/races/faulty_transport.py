"""A transport on which some requests fail: connection refused, no response, or service busy."""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

__all__ = ["FaultyTransport", "RequestCounts"]

#: Responses of a busy or failing service; the request is not executed.
STATUSES = (429, 500, 503)

REFUSED, LOST = "refused", "lost"


#: The byte that represents one request, by kind.
MARKS = {"request": b".", REFUSED: b"r", LOST: b"l", "429": b"4", "500": b"5", "503": b"3"}


class RequestCounts:
    """Count in a file shared by several processes, including killed ones: one byte per request."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, kind: str) -> None:
        os.write(self._file, MARKS[kind])

    @staticmethod
    def read(path: Path) -> Counter[str]:
        marks = path.read_bytes()
        return Counter({kind: marks.count(mark) for kind, mark in MARKS.items()})


class FaultyTransport(RequestsTransport):  # type: ignore[misc]
    """Fail a share of the requests."""

    def __init__(self, fraction: float, rng: random.Random, counts_file: RequestCounts) -> None:
        session = requests.Session()
        self._adapter = _FaultyAdapter(rng, counts_file)
        self._adapter.share = fraction
        session.mount("http://", self._adapter)
        super().__init__(session=session)

    def recover(self) -> None:
        """Stop failing requests."""
        self._adapter.share = 0

    @staticmethod
    def never_wait() -> None:
        """Let the SDKs retry without delay in this process.

        A container client wraps its transport, and waits in the wrapper.
        """
        HttpTransport.sleep = lambda self, duration: None  # type: ignore[method-assign]


class _FaultyAdapter(HTTPAdapter):
    def __init__(self, rng: random.Random, counts_file: RequestCounts) -> None:
        super().__init__()
        self._rng, self._counts = rng, counts_file
        self.share = 0.0

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        fault = ""
        if self._rng.random() < self.share:
            fault = self._rng.choice((REFUSED, LOST, "answered"))
        self._counts.add("request")
        if fault == REFUSED:
            self._counts.add(REFUSED)
            raise ServiceRequestError("refused on purpose")
        if fault == "answered":
            status = self._rng.choice(STATUSES)
            self._counts.add(str(status))
            return self._answer(request, status)
        response = super().send(request, **kwargs)
        if fault == LOST:
            response.close()
            self._counts.add(LOST)
            raise ServiceResponseError("the answer was lost on purpose")
        return response

    def _answer(self, request: requests.PreparedRequest, status: int) -> requests.Response:
        raw = HTTPResponse(
            io.BytesIO(b""),
            {"Date": formatdate(usegmt=True), "Content-Length": "0"},
            status,
            preload_content=False,
        )
        return self.build_response(request, raw)
