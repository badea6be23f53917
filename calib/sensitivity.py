"""Loss of accuracy caused by each quantised convolution, as a table and as a chart."""

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
"""Sizes in the chart, pixels: height of a row, width of the names, width of the longest bar."""

BLUE, GREY = (180, 110, 40), (170, 170, 170)  # BGR


@dataclass(frozen=True)
class Loss:
    """Loss caused by quantising one convolution: 1 - mean cosine to the output of the fp32 model.

    Attributes
    ----------
    node
        Name of the convolution in the graph.
    weight
        Name of the convolution's weight, which says where in the network the convolution is.
    alone
        Loss of a model in which this convolution alone is quantised.
    others
        Loss of a model in which all other convolutions are quantised.

    Examples
    --------
    >>> Loss("node_conv2d", "stem.0.weight", alone=4e-3, others=2e-3).alone
    0.004
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
    """Measure the loss of each convolution: quantise it alone, then all convolutions except it.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.
    ranges
        Ranges of that model's tensors.
    target
        The engine that will run the model: tensorrt or cpu.
    samples
        Inputs to compare on; they should differ from the calibration inputs.
    progress
        Function called with the number of finished convolutions.

    Returns
    -------
    One loss per convolution, sorted from the largest `alone`.

    Raises
    ------
    BadInput
        If there are no inputs, and as `shls.calib.quantize.quantize`.

    Examples
    --------
    >>> losses = sensitivity(Path("edge.onnx"), ranges, "cpu", sample_frames("clip.mp4", 4, 0))  # doctest: +SKIP
    >>> print(table(losses))  # doctest: +SKIP
    """
    model, contract = load_float_model(path)
    feeds = list(samples.feeds(contract))
    if not feeds:
        raise BadInput("sensitivity: no frames to compare on. Give a source with at least one frame")
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
    """Return a text table with one row per convolution; the losses are 1 - cosine to fp32.

    Examples
    --------
    >>> print(table([Loss("node_conv2d", "stem.0.weight", 4e-3, 2e-3)]))
    convolution  weight         alone INT8  alone float
    node_conv2d  stem.0.weight    4.00e-03     2.00e-03
    """
    wide, name = (max(len(text) for text in column) for column in _columns(losses))
    rows = [f"{'convolution':{wide}}  {'weight':{name}}  alone INT8  alone float"]
    rows += [f"{loss.node:{wide}}  {loss.weight:{name}}  {loss.alone:10.2e}  {loss.others:11.2e}" for loss in losses]
    return "\n".join(rows)


def draw_chart(losses: list[Loss], path: Path) -> None:
    """Write a bar chart as PNG: two bars per convolution, in the given order.

    Parameters
    ----------
    losses
        At least one loss, as `sensitivity` returns them.
    path
        File to write; it appears whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_chart([Loss("node_conv2d", "stem.0.weight", 4e-3, 2e-3)], Path(folder, "chart.png"))
    ...     cv2.imread(str(Path(folder, "chart.png"))).shape
    (52, 820, 3)
    """
    canvas = np.full((ROW * (len(losses) + 1), LABEL + BAR + 110, 3), 255, np.uint8)
    longest = max(max(loss.alone, loss.others) for loss in losses)
    _write(canvas, "1 - cosine to fp32: this one alone in INT8 (blue); all others in INT8 (grey)", (LABEL, 18))
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
    """Run the model on all inputs and return the outputs, (F, ...) float32."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, one)[0] for one in feeds])


def _columns(losses: list[Loss]) -> tuple[list[str], list[str]]:
    return ["convolution", *(loss.node for loss in losses)], ["weight", *(loss.weight for loss in losses)]


def _write(canvas: np.ndarray, text: str, at: tuple[int, int], size: float = 0.45) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (30, 30, 30), 1, cv2.LINE_AA)
