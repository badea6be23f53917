"""Time of each layer of a network, from onnxruntime's profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..models.contract import Contract

RUNS = 10
"""Number of measured runs."""


def layer_times(model: Path, contract: Contract, threads: int = 0) -> list[dict[str, Any]]:
    """Run an embedding under onnxruntime's profiler on the CPU.

    Parameters
    ----------
    model : path of an ONNX file
    contract : contract of the model
    threads : CPU threads, 0 for all cores

    Returns
    -------
    Rows in the format of trtexec's `--exportProfile`. The first row is `{"count": runs}`. One row per layer follows,
    slowest first: `name`, `type` (operator), `timeMs` (sum over runs), `averageMs`, `medianMs`, `percentage`.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> from shls.runtime.models.onnx_reader import read_contract
    >>> layer_times(SHIPPED_MODEL, read_contract(SHIPPED_MODEL))[0]  # doctest: +SKIP
    {'count': 10}
    """
    import onnxruntime

    from ..backends.ort_session import session_options

    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "layers")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        shape = (1, 3, contract.height, contract.width)
        tensor = np.random.default_rng(0).standard_normal(shape, np.float32)
        for _ in range(RUNS + 1):
            session.run([contract.output], {contract.input: tensor})
        events = json.loads(Path(session.end_profiling()).read_text())
    return summarise(events)


def summarise(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum onnxruntime's profiler events by layer, without the first run.

    Parameters
    ----------
    events : events in Chrome's trace format, durations in microseconds

    Returns
    -------
    Rows as `layer_times` returns them; empty if nothing ran twice.

    Examples
    --------
    >>> event = {"cat": "Node", "name": "conv1_kernel_time", "args": {"op_name": "Conv"}, "dur": 2000}
    >>> summarise([event, event])[1]["averageMs"]
    2.0
    """
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]
            times.setdefault(key, []).append(event["dur"] / 1000)
    times = {key: values[1:] for key, values in times.items() if len(values) > 1}
    if not times:
        return []
    whole = sum(map(sum, times.values()))
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "type": operator,
            "timeMs": round(sum(values), 4),
            "averageMs": round(statistics.mean(values), 4),
            "medianMs": round(statistics.median(values), 4),
            "percentage": round(100 * sum(values) / whole, 2) if whole else 0.0,
        }
        for (name, operator), values in times.items()
    ]
    rows.sort(key=lambda row: -row["timeMs"])
    return [{"count": max(map(len, times.values()))}, *rows]
