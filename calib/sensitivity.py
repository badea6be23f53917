"""Which convolutions lose how much when they are quantised, and what that looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from onnx import ModelProto

from shls.calib.graph import Graph, load_float_model
from shls.calib.quantize import quantized_model
from shls.calib.ranges import Ranges
from shls.runtime.errors import BadInput
from shls.runtime.files import write_whole
from shls.runtime.preprocess import to_input

ROW, LABEL, BAR = 26, 190, 520
"""Of the chart, pixels: height of a row, width of the names, width of the longest bar."""


@dataclass(frozen=True)
class Loss:
    """What quantising one convolution costs.

    node : the convolution's name in the graph
    weight : name of its weight, which says where in the network it is
    cosine_loss : 1 - mean cosine between the features with it alone quantised and those of fp32
    """

    node: str
    weight: str
    cosine_loss: float


def sensitivity(
    path: Path,
    ranges: Ranges,
    target: str,
    images: list[np.ndarray],
    progress: Callable[[int], None] | None = None,
) -> list[Loss]:
    """Quantise one convolution at a time, and compare the features with those of fp32.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    ranges : of that model
    target : tensorrt or cpu
    images : frames to compare on, not those of the calibration; each (H, W, 3) uint8 RGB
    progress : called with the number of convolutions done

    Returns
    -------
    One per convolution, the worst first.

    Raises
    ------
    BadInput
        If there are no frames, or what `shls.calib.quantize.quantize` raises.
    """
    if not images:
        raise BadInput("no frames to compare on; give a source with at least one")
    model, contract = load_float_model(path)
    tensors = [to_input(image, contract) for image in images]
    exact = _features(model, tensors)
    convolutions = Graph(model).of_kind("Conv")
    losses = []
    for done, node in enumerate(convolutions):
        others = [other.name for other in convolutions if other is not node]
        rounded = _features(quantized_model(model, ranges, target, others), tensors)
        # Both are of unit length along their second axis.
        loss = 1 - float((exact * rounded).sum(axis=1).mean())
        losses.append(Loss(node.name, node.input[1], loss))
        if progress:
            progress(done + 1)
    return sorted(losses, key=lambda loss: -loss.cosine_loss)


def table(losses: list[Loss]) -> str:
    """Return a row per convolution, for people."""
    wide, name = (max(len(text) for text in column) for column in _columns(losses))
    rows = [f"{'convolution':{wide}}  {'weight':{name}}  1 - cosine"]
    rows += [f"{loss.node:{wide}}  {loss.weight:{name}}  {loss.cosine_loss:.2e}" for loss in losses]
    return "\n".join(rows)


def draw_chart(losses: list[Loss], path: Path) -> None:
    """Write the table as a bar chart, PNG, in the order given."""
    canvas = np.full((ROW * (len(losses) + 1), LABEL + BAR + 110, 3), 255, np.uint8)
    longest = max(max(loss.cosine_loss for loss in losses), 1e-12)
    _write(canvas, "1 - cosine to fp32, one convolution in INT8", (LABEL, 18))
    for row, loss in enumerate(losses, 1):
        top = ROW * row
        end = LABEL + round(BAR * max(loss.cosine_loss, 0) / longest)
        cv2.rectangle(canvas, (LABEL, top + 5), (end, top + ROW - 5), (180, 110, 40), cv2.FILLED)
        _write(canvas, loss.weight.removesuffix(".weight"), (8, top + 18))
        _write(canvas, f"{loss.cosine_loss:.1e}", (end + 8, top + 18))
    _, encoded = cv2.imencode(".png", canvas)
    write_whole(path, encoded.tobytes())


def _features(model: ModelProto, tensors: list[np.ndarray]) -> np.ndarray:
    """(F, D, h, w) float32 of all frames."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: tensor})[0] for tensor in tensors])


def _columns(losses: list[Loss]) -> tuple[list[str], list[str]]:
    return ["convolution", *(loss.node for loss in losses)], ["weight", *(loss.weight for loss in losses)]


def _write(canvas: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
