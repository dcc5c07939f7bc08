"""The event of each import's end, and who sends it: at least once, until accepted or too old.

With the final record a row is written that stands for its event (`Ledger`, `send-`): the outbox.
Ticks offer what is due, and threads of our own post it, so that no receiver holds up an import. A
row goes when its event was accepted; a process that dies before that repeats the event, under the
same id.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

from azure.core.exceptions import ResourceNotFoundError

from shared import logs
from shared.imports import metrics
from shared.imports.ledger import MAX_MARKERS, Marker
from shared.imports.record import ImportRecord
from shared.imports.services import Services
from shared.imports.steps import about
from shared.imports.view import ImportSummary
from shared.invocation import in_this_invocation
from shared.telemetry import facade
from shared.webhook import Webhook, WebhookRefusedError, WebhookUnavailableError

__all__ = ["Delivery", "Publisher", "event_of"]

log = logs.logger(__name__)

#: Hubs whose events are sent at the same time.
THREADS = 4

#: How long an event waits after it was sent in vain: twice as long each time.
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=10)

#: How long the receiver is left alone at most, if it asks for that.
LONGEST_PAUSE = timedelta(hours=1)

#: Times that the outbox of a hub is read in a row: others wait for the thread.
MAX_ROUNDS = 20


class Delivery(Enum):
    """What became of an event when its turn came."""

    ACCEPTED = auto()
    UNAVAILABLE = auto()  # sent again later, and the events behind it wait too
    REFUSED = auto()  # sent again later: people may mend the receiver
    EXPIRED = auto()  # not accepted before the deadline: given up
    PRUNED = auto()  # its record is gone

    @property
    def is_done(self) -> bool:
        """Whether the event is never sent again."""
        return self in (Delivery.ACCEPTED, Delivery.EXPIRED, Delivery.PRUNED)


def event_of(record: ImportRecord) -> dict[str, Any]:
    """A CloudEvent 1.0 of the end of an import; always the same for the same record."""
    state = record.state.value
    return {
        "specversion": "1.0",
        # Receivers know repeats by it.
        "id": f"{record.id}-{state}",
        "type": f"DeviceImporter.Import.{state[0].upper()}{state[1:]}",
        "source": f"/hubs/{quote(record.hub, safe='')}",
        "subject": f"imports/{record.id}",
        "time": _ended(record).astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": ImportSummary.of(record).model_dump(mode="json"),
    }


def _ended(record: ImportRecord) -> datetime:
    return record.finished_at or record.updated_at


class Publisher:
    """Sends the events of ended imports in the background, each hub's oldest first."""

    def __init__(self, services: Services, webhook: Webhook) -> None:
        self._ledger = services.ledger
        self._deadline = services.settings.events_deadline
        self._clock = services.clock
        self._webhook = webhook
        self._pool = ThreadPoolExecutor(THREADS, "events")
        self._lock = threading.Lock()
        #: By hub: the sending that was begun last.
        self._batches: dict[str, Future[None]] = {}
        #: The receiver asked to be left alone until then.
        self._pause_until = datetime.min.replace(tzinfo=UTC)
        self._closing = threading.Event()

    def offer(self, hub: str, unsent: Iterable[Marker]) -> None:
        """Have the events of a hub sent, if any of these is due; returns at once."""
        if any(map(self._is_due, unsent)):
            self.look(hub)

    def look(self, hub: str) -> None:
        """Have those events of a hub sent that are due, unless that is under way; returns at once.

        Reads the hub's outbox anew: what was offered may have been sent meanwhile.
        """
        with self._lock:
            batch = self._batches.get(hub)
            if batch is None or batch.done():
                send = in_this_invocation(self._send_due)
                self._batches[hub] = self._pool.submit(send, hub)

    def wait(self) -> None:
        """Wait until nothing is under way."""
        with self._lock:
            batches = list(self._batches.values())
        wait(batches)

    def close(self) -> None:
        """End after the events that are being posted; the others stay in their outboxes."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        self._webhook.close()

    def _send_due(self, hub: str) -> None:
        with logs.about(logs.Subject(hub=hub)), facade.quiet():
            try:
                for _ in range(MAX_ROUNDS):
                    if not self._send_some(hub):
                        break
            except Exception:
                log.exception("events wait for a later tick")

    def _send_some(self, hub: str) -> bool:
        """Send what is due at the head of the outbox; returns whether there may be more of it."""
        markers = self._ledger.unsent(hub)
        sent = False
        for marker in markers:
            if self._closing.is_set():
                return False
            if not self._is_due(marker):
                continue
            # Each try passes here with its result, once.
            delivery = self._deliver(hub, marker)
            metrics.count_event(hub, delivery.name.lower())
            if delivery is Delivery.UNAVAILABLE:
                return False
            sent = True
        return sent and len(markers) == MAX_MARKERS

    def _deliver(self, hub: str, marker: Marker) -> Delivery:
        """Post the event of a marker, and take the marker away or put it off."""
        try:
            record = self._ledger.get(hub, marker.record_key)
        except ResourceNotFoundError:
            log.warning("the record %s is gone; no event tells of its end", marker.record_key)
            delivery = Delivery.PRUNED
        else:
            with about(record):
                delivery = self._post(record)
        if delivery.is_done:
            self._ledger.remove_marker(hub, marker)
        else:
            self._ledger.put_off(hub, marker, self._clock() + _back_off(marker.tries))
        return delivery

    def _post(self, record: ImportRecord) -> Delivery:
        if self._clock() - _ended(record) > self._deadline:
            log.error(
                "no event tells that the import ended %s, as none was accepted within %g h "
                "(EVENTS_DEADLINE_HOURS). See that %s (EVENTS_URL) can be reached and takes the "
                "app's events (EVENTS_KEY); earlier warnings tell what it answered",
                *(record.state, self._deadline.total_seconds() / 3600, self._webhook.host),
            )
            return Delivery.EXPIRED
        try:
            self._webhook.post(event_of(record))
        except (WebhookUnavailableError, WebhookRefusedError) as error:
            log.warning("the event of the end was not accepted and is sent again: %s", error)
            if isinstance(error, WebhookRefusedError):
                return Delivery.REFUSED
            if error.retry_after is not None:
                seconds = min(LONGEST_PAUSE.total_seconds(), error.retry_after)
                self._pause_until = self._clock() + timedelta(seconds=seconds)
            return Delivery.UNAVAILABLE
        log.info("the event of the end was accepted")
        return Delivery.ACCEPTED

    def _is_due(self, marker: Marker) -> bool:
        now = self._clock()
        return now >= self._pause_until and (
            marker.next_try_at is None or marker.next_try_at <= now
        )


def _back_off(tries: int) -> timedelta:
    jitter = random.uniform(0.5, 1)  # nosec B311
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(tries, 20))) * jitter
