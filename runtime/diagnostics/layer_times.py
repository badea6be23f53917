"""How long each layer of a network takes, from onnxruntime's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..models.contract import Contract

RUNS = 10


def layer_times(model: Path, contract: Contract, threads: int = 0) -> list[dict[str, Any]]:
    """Run a model some times, and list its layers.

    Parameters
    ----------
    model : path of an ONNX file that a session has opened before
    contract : of the model
    threads : CPU threads, 0 for all cores

    Returns
    -------
    In the shape of trtexec's `--exportProfile`: first `{"count": runs}`, then, heaviest first, `name`, `type`
    (the operator), `timeMs` of all runs, `averageMs`, `medianMs` and `percentage`.
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
    """Sum onnxruntime's events (Chrome's trace format, microseconds) by layer; the first run is left out."""
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
