"""Benchmark models on this machine: size, speed and accuracy in one table, and a recommendation."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backends.pretrained import ASSETS, SHIPPED_MODEL
from ..errors import BadInput, ShlsError
from ..evaluation.metrics import jaccard
from ..io.base import Sink
from ..io.masks import read_mask
from ..io.sources import open_source
from ..io.synthetic import noise
from ..models.contract import AnyContract, PrompterContract, RefinerContract
from ..models.engine_info import read_sidecar
from ..models.onnx_reader import read_any_contract, read_refiner_contract
from ..pipeline import follow, warm_up
from ..segmenter import VideoSegmenter, open_segmenter
from ..types import Frame, Mask

SUFFIXES = (".onnx", ".engine")
REFERENCE = "fp32"
ENOUGH = 0.95
"""Least IoU with the masks of the fp32 model for a model to count as accurate."""
FASTER = 1.05
"""Least ratio of speeds for a model to count as faster."""


class Pair(NamedTuple):
    """An embedding and its refiner.

    Attributes
    ----------
    model : path of the embedding
    refiner : path of the refiner, None for the refiner that `shls run` would take

    Examples
    --------
    >>> Pair(Path("net.onnx"), None).model.name
    'net.onnx'
    """

    model: Path
    refiner: Path | None


@dataclass(frozen=True)
class Row:
    """Figures of one pair of networks; zeros if the pair does not run.

    Attributes
    ----------
    name : file name of the embedding
    status : "runs", or the reason why the pair does not run
    precision : precision of the embedding
    refiner : precision of the refiner, empty without one
    backend : description of what really ran the embedding
    megabytes : size of the embedding's file
    ms : median milliseconds of a frame, from image to mask
    network_ms : median milliseconds of the embedding in a frame
    refine_ms : median milliseconds of the refiner in a frame, with cutting and merging its crops
    fps : frames per second
    iou : mean IoU of the masks with the masks of the first fp32 model; None without such a model

    Examples
    --------
    >>> Row("net.onnx", precision="fp32", fps=14.0).runs
    True
    """

    name: str
    status: str = "runs"
    precision: str = ""
    refiner: str = ""
    backend: str = ""
    megabytes: float = 0.0
    ms: float = 0.0
    network_ms: float = 0.0
    refine_ms: float = 0.0
    fps: float = 0.0
    iou: float | None = None

    @property
    def runs(self) -> bool:
        """True if the pair ran."""
        return self.status == "runs"


def find_models(given: list[Path]) -> list[Path]:
    """List the models to measure.

    Parameters
    ----------
    given : files, and folders that are searched for .onnx and .engine files; empty for the shipped models

    Raises
    ------
    BadInput
        If a folder has no models.

    Examples
    --------
    >>> "shls-edge.onnx" in [path.name for path in find_models([])]
    True
    """
    found: list[Path] = []
    for path in given or [SHIPPED_MODEL.parent]:
        inside = sorted(one for one in path.glob("*") if one.suffix in SUFFIXES) if path.is_dir() else [path]
        found += inside
    if not found:
        place = given[0] if given else SHIPPED_MODEL.parent
        raise BadInput(f"{place}: no model in this folder (expected .onnx or .engine files). Give another folder.")
    return found


def pair_up(files: list[Path]) -> list[Pair]:
    """Give each embedding the refiner that was trained with it and has its precision.

    Parameters
    ----------
    files : models; refiners among them are preferred to the shipped ones, and prompters are left out. A file that
        cannot be read stays in the list, so that its row can state the reason

    Raises
    ------
    BadInput
        If no file is an embedding.

    Examples
    --------
    >>> pair_up([SHIPPED_MODEL])[0].refiner.name
    'shls-edge-refiner.onnx'
    """
    contracts = {path: _contract(path) for path in files}
    models = [path for path, one in contracts.items() if not isinstance(one, RefinerContract | PrompterContract)]
    if not models:
        raise BadInput(f"{files[0]}: wrong network (got no embedding, expected at least one). Give embeddings, too.")
    near = {path: one for path, one in contracts.items() if isinstance(one, RefinerContract)}
    shipped = {path: read_refiner_contract(path) for path in sorted(ASSETS.glob("*refiner*.onnx"))}
    return [Pair(path, _partner(contracts[path], near | shipped)) for path in models]


def bench(
    pairs: list[Pair],
    frames: int,
    threads: int = 0,
    device: str = "auto",
    progress: Callable[[Path], None] | None = None,
) -> list[Row]:
    """Follow the rabbit of the shipped clip with each pair of networks.

    Parameters
    ----------
    pairs : networks; the row of a pair that cannot be opened states the reason
    frames : number of frames of the clip, at least 2
    threads, device : as in `shls.runtime.segmenter.open_segmenter`
    progress : function that is called with each embedding before its measurement

    Examples
    --------
    >>> rows = bench(pair_up(find_models([])), frames=40)  # doctest: +SKIP
    >>> print(table(rows))  # doctest: +SKIP
    """
    rows: list[tuple[Row, list[np.ndarray]]] = []
    for model, refiner in pairs:
        if progress:
            progress(model)
        try:
            rows.append(_measure(model, open_segmenter(model, threads, device=device, refiner=refiner), frames))
        except ShlsError as error:
            rows.append((Row(model.name, status=str(error)), []))
    reference = next((masks for row, masks in rows if row.precision == REFERENCE), None)
    return [_with_iou(row, masks, reference) for row, masks in rows]


def recommend(rows: list[Row]) -> str:
    """Recommend the fastest of the accurate models, with the reasons against the others.

    Examples
    --------
    >>> recommend([Row("net.onnx", status="missing")])
    'No model runs here. The status of each model has the reason.'
    """
    running = [row for row in rows if row.runs]
    if not running:
        return "No model runs here. The status of each model has the reason."
    accurate = [row for row in running if row.iou is None or row.iou >= ENOUGH]
    if not accurate:
        return f"No model has an IoU of {ENOUGH} with {REFERENCE}. Calibrate on other frames."
    fastest = max(row.fps for row in accurate)
    # Of about equally fast models, the most accurate one wins, then the smallest one.
    best = max(
        (row for row in accurate if row.fps * FASTER >= fastest),
        key=lambda row: (row.iou or 0.0, -row.megabytes),
    )
    words = [_why(best, next((row for row in running if row.precision == REFERENCE), None))]
    for row in running:
        if row not in accurate:
            words.append(f"{row.name} is not accurate enough: IoU {row.iou:.3f} with {REFERENCE}.")
        elif row.precision.startswith("int8") and not best.precision.startswith("int8"):
            words.append(f"INT8 is not faster here ({row.fps:.1f} frames per second): use {best.precision.upper()}.")
    if best.iou is None:
        words.append(f"No {REFERENCE} model was measured, so accuracy is unknown.")
    return " ".join(words)


def _why(best: Row, reference: Row | None) -> str:
    """Return the recommendation with its speed and accuracy relative to the fp32 model."""
    text = f"Use {best.name}: {best.fps:.1f} frames per second"
    if reference is None:
        return f"{text}."
    if best is reference:
        return f"{text}. No equally accurate model is {FASTER - 1:.0%} faster."
    return (
        f"{text}, {best.fps / reference.fps:.1f} times as fast as {reference.name}, IoU {best.iou:.3f} with its masks."
    )


def table(rows: list[Row]) -> str:
    """Return the rows as a table of text.

    Examples
    --------
    >>> table([Row("net.onnx", status="missing")]).splitlines()[1]
    'net.onnx  missing'
    """
    width = max(len(row.name) for row in rows)
    names = f"{'model':<{width}}  precision      refiner"
    lines = [f"{names}             MB  frame ms  network ms  refine ms     fps    IoU  backend"]
    for row in rows:
        if not row.runs:
            lines.append(f"{row.name:<{width}}  {row.status}")
            continue
        iou = "     -" if row.iou is None else f"{row.iou:6.3f}"
        lines.append(
            f"{row.name:<{width}}  {row.precision:<13}  {row.refiner or '-':<13} {row.megabytes:7.1f} {row.ms:9.1f} "
            f"{row.network_ms:11.1f} {row.refine_ms:10.1f} {row.fps:7.2f} {iou}  {row.backend}"
        )
    return "\n".join(lines)


class _Keeps(Sink):
    """Sink that keeps the masks in memory."""

    def __init__(self) -> None:
        self.masks: list[np.ndarray] = []

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        self.masks.append(mask.labels)


def _measure(model: Path, segmenter: VideoSegmenter, frames: int) -> tuple[Row, list[np.ndarray]]:
    assets, sink = SHIPPED_MODEL.parent, _Keeps()
    with open_source(str(assets / "bunny.mp4")) as source:
        warm_up(segmenter, noise(source.size))
        mask = read_mask(assets / "bunny_mask.png", source.size)
        done = follow(islice(source, frames), segmenter, lambda _: mask, sink)
    times = {stage: 1000 * statistics.median(values) for stage, values in segmenter.stopwatch.seconds.items()}
    row = Row(
        model.name,
        precision=segmenter.session.contract.precision,
        refiner="" if segmenter.refiner is None else segmenter.refiner.contract.precision,
        backend=segmenter.session.backend,
        megabytes=model.stat().st_size / 1e6,
        ms=times["segment"],
        network_ms=times["network"],
        refine_ms=times.get("refine", 0.0),
        fps=done.fps,
    )
    return row, sink.masks[1:]


def _contract(path: Path) -> AnyContract | None:
    """Return a file's contract, or None if it cannot be read; opening the file later raises the reason."""
    try:
        if path.suffix == ".engine":
            return read_sidecar(path).contract
        return read_any_contract(path)
    except ShlsError:
        return None


def _partner(embedding: AnyContract | None, refiners: dict[Path, RefinerContract]) -> Path | None:
    """Return the first refiner that was trained with an embedding and has its precision."""
    if embedding is None:
        return None
    wanted = embedding.checkpoint_sha256, embedding.precision
    return next((path for path, one in refiners.items() if (one.embedding_sha256, one.precision) == wanted), None)


def _with_iou(row: Row, masks: list[np.ndarray], reference: list[np.ndarray] | None) -> Row:
    if reference is None or not row.runs:
        return row
    overlaps = [jaccard(mask > 0, other > 0) for mask, other in zip(masks, reference, strict=True)]
    return replace(row, iou=float(np.mean(overlaps)))
