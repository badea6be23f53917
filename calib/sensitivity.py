"""Which convolutions lose how much when they are quantised, and what that looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from onnx import ModelProto

from shls.runtime._support.files import write_whole
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.similarity import cell_cosines

from .graph import Graph, load_float_model
from .quantize import quantized_model
from .ranges import Ranges
from .samples import Inputs

ROW, LABEL, BAR = 26, 190, 520
"""Of the chart, pixels: height of a row, width of the names, width of the longest bar."""

BLUE, GREY = (180, 110, 40), (170, 170, 170)  # BGR


@dataclass(frozen=True)
class Loss:
    """What quantising one convolution costs.

    node : the convolution's name in the graph
    weight : name of its weight, which says where in the network it is
    alone : 1 - mean cosine to the output of fp32, with it alone quantised; of features, cell by cell
    others : the same with all but it quantised; what leaving it float would bring
    """

    node: str
    weight: str
    alone: float
    others: float


def sensitivity(
    path: Path,
    ranges: Ranges,
    target: str,
    samples: Inputs,
    progress: Callable[[int], None] | None = None,
) -> list[Loss]:
    """Quantise one convolution at a time, and all but one, and compare the output with that of fp32.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    ranges : of that model
    target : tensorrt or cpu
    samples : what to compare on, not what was calibrated on
    progress : called with the number of convolutions done

    Returns
    -------
    One per convolution, the worst first.

    Raises
    ------
    BadInput
        If there are no frames, or what `shls.calib.quantize.quantize` raises.
    """
    model, contract = load_float_model(path)
    feeds = list(samples.feeds(contract))
    if not feeds:
        raise BadInput("no frames to compare on; give a source with at least one")
    exact = _outputs(model, feeds)
    names = [(node.name, node.input[1]) for node in Graph(model).of_kind("Conv")]

    def loss(kept: list[str]) -> float:
        rounded = _outputs(quantized_model(model, ranges, target, kept), feeds)
        return 1 - float(cell_cosines(exact, rounded).mean())

    losses = []
    for done, (name, weight) in enumerate(names, 1):
        losses.append(Loss(name, weight, loss([other for other, _ in names if other != name]), loss([name])))
        if progress:
            progress(done)
    return sorted(losses, key=lambda loss: -loss.alone)


def table(losses: list[Loss]) -> str:
    """Return a row per convolution, for people; the losses are 1 - cosine to fp32."""
    wide, name = (max(len(text) for text in column) for column in _columns(losses))
    rows = [f"{'convolution':{wide}}  {'weight':{name}}  alone INT8  alone float"]
    rows += [f"{loss.node:{wide}}  {loss.weight:{name}}  {loss.alone:10.2e}  {loss.others:11.2e}" for loss in losses]
    return "\n".join(rows)


def draw_chart(losses: list[Loss], path: Path) -> None:
    """Write the table as a bar chart, PNG, in the order given: two bars for each convolution."""
    canvas = np.full((ROW * (len(losses) + 1), LABEL + BAR + 110, 3), 255, np.uint8)
    longest = max(max(loss.alone, loss.others) for loss in losses)
    _write(canvas, "1 - cosine to fp32: it alone in INT8 (blue); all others in INT8 (grey)", (LABEL, 18))
    for row, loss in enumerate(losses, 1):
        top = ROW * row
        _write(canvas, loss.weight.removesuffix(".weight"), (8, top + 18))
        for value, colour, at in ((loss.alone, BLUE, top + 3), (loss.others, GREY, top + 13)):
            end = LABEL + round(BAR * max(value, 0) / max(longest, 1e-12))
            cv2.rectangle(canvas, (LABEL, at), (end, at + 8), colour, cv2.FILLED)
            _write(canvas, f"{value:.1e}", (end + 8, at + 8), 0.3)
    _, encoded = cv2.imencode(".png", canvas)
    write_whole(path, encoded.tobytes())


def _outputs(model: ModelProto, feeds: list[dict[str, np.ndarray]]) -> np.ndarray:
    """(F, ...) float32, of all runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, one)[0] for one in feeds])


def _columns(losses: list[Loss]) -> tuple[list[str], list[str]]:
    return ["convolution", *(loss.node for loss in losses)], ["weight", *(loss.weight for loss in losses)]


def _write(canvas: np.ndarray, text: str, at: tuple[int, int], size: float = 0.45) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
