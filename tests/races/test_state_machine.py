"""The app as a state machine: the invariants hold for any sequence of steps."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.races.state_machine import ImporterMachine

#: Number of runs, the same each time. Set MACHINE_EXAMPLES for random runs.
EXAMPLES = 15
STEPS = 20


def test_invariants_hold(storage_connection_string: str) -> None:
    examples = int(os.environ.get("MACHINE_EXAMPLES", "0"))

    class Machine(ImporterMachine):
        storage = storage_connection_string

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples or EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not examples,
            database=None,
            deadline=None,
            print_blob=bool(examples),
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
