"""The layers' times, from events as onnxruntime writes them."""

from __future__ import annotations

from typing import Any

from shls.runtime.diagnostics.layer_times import summarise


def event(name: str, microseconds: int, operator: str = "Conv", category: str = "Node") -> dict[str, Any]:
    return {"cat": category, "name": name, "dur": microseconds, "args": {"op_name": operator}}


def test_by_hand() -> None:
    events = [
        event("model_run", 99, category="Session"),
        event("a_kernel_time", 90_000),  # the first run warms up
        event("b_kernel_time", 90_000, "Relu"),
        event("a_fence_before", 5),
        event("a_kernel_time", 1000),
        event("b_kernel_time", 3000, "Relu"),
        event("a_kernel_time", 2000),
        event("b_kernel_time", 6000, "Relu"),
    ]
    assert summarise(events) == [
        {"count": 2},
        {"name": "b", "type": "Relu", "timeMs": 9.0, "averageMs": 4.5, "medianMs": 4.5, "percentage": 75.0},
        {"name": "a", "type": "Conv", "timeMs": 3.0, "averageMs": 1.5, "medianMs": 1.5, "percentage": 25.0},
    ]


def test_nothing_ran() -> None:
    assert summarise([]) == []
