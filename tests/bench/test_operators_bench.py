"""The operator benchmarks run the intended cases. No timing."""

from __future__ import annotations

from bench import cold_start, dashboard_page


def test_the_cost_of_the_dashboard_does_not_depend_on_history(
    storage_connection_string: str,
) -> None:
    few, many = dashboard_page.views(storage_connection_string, (1, 120), times=1)
    assert few.cost.requests == many.cost.requests > 0
    assert many.size > few.size
    assert many.first_paint > 0
    assert "120" in "\n".join(dashboard_page.table([few, many]))


def test_cold_starts_are_compared_with_a_minimal_app() -> None:
    starts = cold_start.cold_starts(1, warm_up=0)
    assert starts[0].ratios == [1.0]
    assert all(seconds > 0 for start in starts for seconds in start.seconds)
    assert "hello world" in "\n".join(cold_start.table(starts))
