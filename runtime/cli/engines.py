"""Engines of both networks for this machine, built once: `shls run --build`."""

from __future__ import annotations

import time
from pathlib import Path

import typer


def build_engines(
    model: Path | None, refiner: Path | None, refined: bool, size: tuple[int, int], device: str = "auto"
) -> None:
    """Build the engines that `open_segmenter` will find; engines that are there already stay.

    Parameters
    ----------
    model, refiner : ONNX files; None for the shipped networks
    refined : whether a refiner will run
    size : (height, width) of the frames, pixels
    device : auto or tensorrt

    Raises
    ------
    BadInput
        If the device or a file is not for TensorRT, or the cache cannot be written.
    ExportFailed
        If TensorRT refuses a network.
    DeviceUnavailable, MissingDependency
        If there is no GPU, no TensorRT or no CUDA runtime.

    Examples
    --------
    >>> build_engines(None, None, refined=True, size=(480, 854))  # doctest: +SKIP
    shls-edge.int8-tensorrt: built in 41 s
    """
    from shls.export.tensorrt_builder import contract_for_tensorrt, to_engine

    from .._support.files import check_writable
    from ..backends.choice import engine_source, fitting_model
    from ..backends.cudart import Cuda
    from ..backends.engine_cache import cached_engine, engine_path
    from ..backends.pretrained import ASSETS, EXACT, EXACT_REFINER
    from ..backends.trt_api import load_tensorrt
    from ..errors import BadInput
    from .export import clear_progress, print_progress

    if device not in ("auto", "tensorrt"):
        raise BadInput(f"--build: engines run under TensorRT (got --device {device}). Leave --device out")
    networks = [model or fitting_model(engine_source(ASSETS / EXACT), size)]
    networks += [refiner or engine_source(ASSETS / EXACT_REFINER)] if refined else []
    for network in networks:
        contract_for_tensorrt(network)
    trt, cuda = load_tensorrt(), Cuda()
    for network in networks:
        if cached_engine(network, trt, cuda):
            continue
        out, begun = engine_path(network, trt, cuda), time.perf_counter()
        check_writable(out)
        try:
            to_engine(network, out, trt=trt, cuda=cuda, progress=print_progress)
        finally:
            clear_progress()
        typer.echo(f"{network.stem}: built in {time.perf_counter() - begun:.0f} s, {out}", err=True)
