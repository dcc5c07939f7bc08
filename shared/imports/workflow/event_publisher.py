"""Each event of an import is sent at least once, until it is accepted or expires.

The outbox contains what is to be sent. Ticks offer what is due, and threads of this module post it,
so that no receiver holds up an import. A row is removed when its event was accepted; a process that
ends before that sends the event again, under the same id.

Each event has its own back-off, each hub its own thread and pause. Whatever happens to an event,
its row is removed or moved behind those that are due, and it expires.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from shared import logs, telemetry, transport
from shared.imports import metrics
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.outbox import MAX_EVENTS, PendingEvent
from shared.imports.tracing import log_context
from shared.imports.workflow.events import event_of, event_of_hold
from shared.invocation import in_this_invocation
from shared.webhook import (
    Webhook,
    WebhookFailedError,
    WebhookRefusedError,
    WebhookUnavailableError,
)

__all__ = ["Delivery", "EventPublisher"]

log = logs.logger(__name__)

#: Hubs whose events are sent at the same time. Further hubs wait for a thread, `BATCH_SECONDS` and
#: one post at most for each that is ahead of them.
THREADS = 16

#: The back-off of an event: twice as long each time.
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=10)

#: Seconds after which a hub gives its thread to others, until the next tick.
BATCH_SECONDS = 60


class Delivery(Enum):
    """The result of an attempt to send an event."""

    ACCEPTED = auto()
    UNAVAILABLE = auto()  # sent again later; the hub's other events wait for the next tick
    REFUSED = auto()  # sent again later: the receiver may be corrected
    FAILED = auto()  # sent again later: the reason may be this event
    EXPIRED = auto()  # not accepted before the deadline
    PRUNED = auto()  # its record was deleted

    @property
    def is_done(self) -> bool:
        """Whether the event is never sent again."""
        return self in (Delivery.ACCEPTED, Delivery.EXPIRED, Delivery.PRUNED)


class EventPublisher:
    """Sends the events of ended imports in the background, each hub's oldest first."""

    def __init__(self, services: Services, webhook: Webhook) -> None:
        self._store = services.store
        self._outbox = services.outbox
        self._deadline = services.settings.events.deadline
        self._clock = services.clock
        self._webhook = webhook
        self._pool = ThreadPoolExecutor(THREADS, "events")
        self._lock = threading.Lock()
        #: By hub: the batch that was begun last.
        self._batches: dict[str, Future[None]] = {}
        #: By hub: until when the receiver asked for no request.
        self._pauses: dict[str, datetime] = {}
        self._closing = threading.Event()

    def offer(self, hub: str, events: Iterable[PendingEvent]) -> None:
        """Send the events of a hub in the background, if any of these is due; returns at once."""
        if any(self._is_due(hub, event) for event in events):
            self.send(hub)

    def send(self, hub: str) -> None:
        """Send the due events of a hub in the background, unless that is under way.

        Reads the hub's outbox again: what was offered may have been sent since.
        """
        with self._lock:
            batch = self._batches.get(hub)
            if self._closing.is_set() or (batch and not batch.done()):
                return
            send = in_this_invocation(self._send_due)
            self._batches[hub] = self._pool.submit(send, hub)

    def wait(self) -> None:
        """Wait until no batch is under way."""
        with self._lock:
            batches = list(self._batches.values())
        wait(batches)

    def close(self) -> None:
        """End after the events that are being posted; the others stay in their outboxes.

        Returns within the deadline of a post, even if one takes longer: a name resolution may.
        """
        with self._lock:
            self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        batches = [batch for batch in self._batches.values() if not batch.cancelled()]
        _, late = wait(batches, transport.WEBHOOK_DEADLINE)
        if late:
            log.warning("%d events are still being posted and may be sent again", len(late))
        self._webhook.close()

    def _send_due(self, hub: str) -> None:
        end = time.monotonic() + BATCH_SECONDS
        #: Row keys that could be neither removed nor moved.
        stuck: set[str] = set()
        with logs.log_context(logs.LogContext(hub=hub)), telemetry.suppress_sdk_spans():
            try:
                while self._send_batch(hub, end, stuck):
                    pass
            except Exception:
                log.exception("events wait for a later tick")

    def _send_batch(self, hub: str, end: float, stuck: set[str]) -> bool:
        """Send what is due at the head of the outbox; returns whether there may be more of it."""
        events = self._outbox.pending(hub)
        moved = False
        for event in events:
            if self._closing.is_set() or time.monotonic() >= end:
                return False
            if event.row_key in stuck or not self._is_due(hub, event):
                continue
            with logs.log_context(logs.LogContext(event.import_id, hub)):
                # Each attempt passes here once, with its result.
                delivery = self._attempt(hub, event)
                metrics.count_event(hub, delivery.name.lower())
                try:
                    self._settle(hub, event, delivery)
                    moved = True
                except Exception:
                    log.exception("the row %s can be neither removed nor moved", event.row_key)
                    stuck.add(event.row_key)
            if delivery is Delivery.UNAVAILABLE:
                return False
        return moved and len(events) == MAX_EVENTS

    def _attempt(self, hub: str, event: PendingEvent) -> Delivery:
        """Post the event of a marker, unless it is too late or its row names no record."""
        if event.happened_at and self._clock() - event.happened_at > self._deadline:
            log.error(
                "the event of the record %s expired: it was not accepted within %g h "
                "(EVENTS_DEADLINE_HOURS). Check that %s (EVENTS_URL) is reachable and accepts "
                "the app's events (EVENTS_KEY); earlier warnings contain its answers",
                *(event.record_key, self._deadline.total_seconds() / 3600, self._webhook.host),
            )
            return Delivery.EXPIRED
        if not event.record_key or (event.name and event.event is None):
            missing = "event" if event.record_key else "record"
            log.error("removing the row %s: it contains no %s", event.row_key, missing)
            return Delivery.PRUNED
        try:
            if event.event is not None:
                return self._post(hub, event.event)
            record = self._store.get(hub, event.record_key)
            with log_context(record):
                if record.state.is_final:
                    return self._post(hub, event_of(record))
                # During a deployment the version before takes the row of a hold or of an approval
                # for one of an end, and writes it again as that.
                if record.state is ImportState.HELD:
                    return self._post(hub, event_of_hold(record))
                log.warning("the import has not ended, so no event of its end is sent")
                return Delivery.PRUNED
        except ResourceNotFoundError:
            log.warning("the record %s was deleted, so its event is not sent", event.record_key)
            return Delivery.PRUNED
        except Exception:
            log.exception("the event of the record %s is sent again later", event.record_key)
            return Delivery.FAILED

    def _post(self, hub: str, event: dict[str, Any]) -> Delivery:
        try:
            self._webhook.post(event)
        except (WebhookUnavailableError, WebhookFailedError, WebhookRefusedError) as error:
            log.warning("the event was not accepted and is sent again: %s", error)
            if isinstance(error, WebhookRefusedError):
                return Delivery.REFUSED
            if isinstance(error, WebhookFailedError):
                return Delivery.FAILED
            if error.retry_after is not None:
                self._pauses[hub] = self._clock() + timedelta(seconds=error.retry_after)
            return Delivery.UNAVAILABLE
        log.info("the event was accepted")
        return Delivery.ACCEPTED

    def _settle(self, hub: str, event: PendingEvent, delivery: Delivery) -> None:
        """Remove the row of an event, or move it to the time of its next try."""
        if delivery.is_done:
            self._outbox.remove(hub, event)
            return
        until = self._clock() + _back_off(event.attempts)
        if delivery is Delivery.UNAVAILABLE:
            until = max(until, self._pauses.get(hub, until))
        self._outbox.postpone(hub, event, until, self._clock())

    def _is_due(self, hub: str, event: PendingEvent) -> bool:
        return self._has_come(self._pauses.get(hub)) and self._has_come(event.next_try_at)

    def _has_come(self, moment: datetime | None) -> bool:
        """Whether it is that time. A time far ahead was set by a wrong clock."""
        if moment is None:
            return True
        left = moment - self._clock()
        return left <= timedelta() or left > 2 * LONGEST_WAIT


def _back_off(attempts: int) -> timedelta:
    jitter = random.uniform(0.5, 1)  # nosec B311
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(attempts, 20))) * jitter
