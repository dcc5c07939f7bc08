"""An event receiver, and an app that sends events to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app import App
from tests.events.receiver import Receiver
from tests.events.support import KEY


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def app_with_receiver(app: App, receiver: Receiver) -> Iterator[App]:
    """The app, configured to send events to the receiver."""
    app.configure(EVENTS_URL=receiver.url, EVENTS_KEY=KEY)
    yield app
    receiver.may_answer.set()
