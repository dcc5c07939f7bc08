"""Whether a retry of failed lines as they are can succeed."""

from __future__ import annotations

import pytest

from shared.hub.error_codes import _PERSISTENT, EXPLANATIONS
from shared.hub.explain import code_label, remedy_of
from shared.imports.operate.retry_advice import RetryAdvice, retry_advice
from shared.imports.workflow.changed_devices import changed_remedy


def group(name: str, count: int, remedy: str | None = None) -> dict[str, object]:
    """As in report.json."""
    return {"code": code_label(name), "count": count, "remedy": remedy or remedy_of(name)}


@pytest.mark.parametrize(
    ("codes", "advice"),
    [
        ([], RetryAdvice()),
        ([group("DeviceAlreadyExists", 3)], RetryAdvice(3, 0)),
        ([group("DeviceNotFound", 1), group("DeserializationError", 2)], RetryAdvice(3, 0)),
        ([group("DeviceAlreadyExists", 3), group("ThrottlingException", 2)], RetryAdvice(3, 2)),
        ([group("ServerError", 1), group("TooManyDevices", 1)], RetryAdvice(0, 2)),
        # It changed after its plan: a retry compares it again.
        ([group("PreconditionFailed", 2, changed_remedy(is_of_undo=False))], RetryAdvice(0, 2)),
        ([group("PreconditionFailed", 2)], RetryAdvice(2, 0)),
        # Unknown codes, by the status in them.
        ([group("400999", 1)], RetryAdvice(1, 0)),
        ([group("", 1), group("SomethingNew", 1), group("599000", 1)], RetryAdvice(0, 3)),
    ],
)
def test_advice(codes: list[dict[str, object]], advice: RetryAdvice) -> None:
    assert retry_advice({"codes": codes}) == advice
    assert advice.is_correction_first is (advice.persistent > 0 and advice.transient == 0)


def test_without_failures() -> None:
    assert retry_advice(None) == RetryAdvice()


def test_persistent_codes_are_in_the_table() -> None:
    assert EXPLANATIONS.keys() >= _PERSISTENT
