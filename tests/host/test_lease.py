from __future__ import annotations

from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64EncodePolicy

from local.host.messages import MessageLease
from tests.host.conftest import eventually


def queue_with_a_message(queues: QueueServiceClient, name: str) -> QueueClient:
    queues.create_queue(f"lease-{name}")
    queue = queues.get_queue_client(f"lease-{name}", message_encode_policy=TextBase64EncodePolicy())
    queue.send_message("work")
    return queue


def test_message_stays_hidden_longer_than_one_lease(
    queues: QueueServiceClient, host_id: str
) -> None:
    queue = queue_with_a_message(queues, host_id)
    lease = MessageLease.receive(queue, seconds=1)
    assert lease is not None
    renewals: list[str] = []
    update = queue.update_message

    def count_and_update(*args: object, **options: object) -> object:
        renewals.append("renewal")
        return update(*args, **options)  # type: ignore[arg-type]

    queue.update_message = count_and_update  # type: ignore[method-assign, assignment]
    with lease:
        eventually(lambda: len(renewals) >= 4)
        assert queue.receive_message() is None
    lease.delete()
    assert queue.get_queue_properties().approximate_message_count == 0


def test_released_message_comes_back_at_once(queues: QueueServiceClient, host_id: str) -> None:
    queue = queue_with_a_message(queues, host_id)
    first = MessageLease.receive(queue)
    assert first is not None
    assert MessageLease.receive(queue) is None
    first.release()
    second = MessageLease.receive(queue)
    assert second is not None
    assert (second.text, second.dequeue_count) == ("work", 2)
