"""Choice of the file that runs: a given or a shipped network, its copy for frames of another shape, or its engine."""

from __future__ import annotations

import logging
from pathlib import Path

from .._support.files import sha256_of, write_whole
from .._support.folders import private_temporary_folder, user_cache
from ..errors import BadInput, ShlsError
from ..models.onnx_reader import read_contract
from ..models.resize import resized, size_for
from .engine_cache import cached_engine, has_engines
from .pretrained import ASSETS, shipped_model

STRETCH = 1.5
"""Largest ratio of the aspect ratios of frame and network that is left to stretching; 4:3 on 16:9 is 1.35."""

ENGINE_DEVICES = ("auto", "tensorrt")
"""Devices that engines run on."""

log = logging.getLogger("shls")


def choose_embedding(model: Path | None, device: str, size: tuple[int, int] | None) -> Path:
    """Return the file of the embedding to run.

    Parameters
    ----------
    model : file that the user gave; None for the shipped network
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`
    size : (height, width) of the frames, pixels; None if they are unknown

    Examples
    --------
    >>> choose_embedding(None, "cuda", None).name
    'shls-edge.onnx'
    """
    if model is not None:
        return engine_or_onnx(model, device, shipped=False)
    shipped = shipped_model(device)
    if device in ENGINE_DEVICES and has_engines():
        engine = engine_or_onnx(_fitting(engine_source(shipped), size), device, shipped=False)
        if engine.suffix == ".engine":
            return engine
    return _fitting(shipped, size)


def engine_or_onnx(model: Path, device: str, shipped: bool) -> Path:
    """Return the engine that `shls run --build` built from a network for this machine, or the network itself.

    Parameters
    ----------
    model : ONNX file, or an engine
    device : cpu, cuda, tensorrt or auto; only the last two run engines
    shipped : whether a shipped network may be replaced by the engine of its INT8 file for TensorRT

    Examples
    --------
    >>> engine_or_onnx(Path("shls-edge.onnx"), "cpu", shipped=False).name
    'shls-edge.onnx'
    """
    if device not in ENGINE_DEVICES or model.suffix != ".onnx" or not model.exists() or not has_engines():
        return model
    return cached_engine(engine_source(model) if shipped else model) or model


def engine_source(model: Path) -> Path:
    """Return the network that an engine is built from: of a shipped network its INT8 file for TensorRT.

    Parameters
    ----------
    model : ONNX file

    Examples
    --------
    >>> engine_source(ASSETS / "shls-edge.onnx").name, engine_source(Path("own.onnx")).name
    ('shls-edge.int8-tensorrt.onnx', 'own.onnx')
    """
    if model.parent != ASSETS:
        return model
    return ASSETS / f"{model.name.split('.')[0]}.int8-tensorrt.onnx"


def fitting_model(model: Path, shape: tuple[int, int]) -> Path:
    """Return the model itself, or the same network for frames of another shape, such as portrait or square.

    The network is written once, into the user's cache. Where it cannot be written, the model itself is used and a
    warning is logged: frames are then stretched to its shape.

    Parameters
    ----------
    model : ONNX file of an embedding
    shape : (height, width) of the frames, pixels

    Examples
    --------
    >>> fitting_model(ASSETS / "shls-edge.onnx", (480, 854)).name
    'shls-edge.onnx'
    """
    contract = read_contract(model)
    stretch = (shape[0] / shape[1]) / (contract.height / contract.width)
    if max(stretch, 1 / stretch) <= STRETCH:
        return model
    height, width = size_for(contract, shape)
    folder = (user_cache() or private_temporary_folder()) / "models"
    path = folder / f"{model.stem}-{sha256_of(model)[:16]}-{width}x{height}.onnx"
    try:
        if not _is_whole(path, height, width):
            write_whole(path, resized(model, height, width))
    except BadInput as error:
        log.warning("network for %dx%d frames: %s. Frames are stretched to the shipped shape", *shape[::-1], error)
        return model
    return path


def _is_whole(path: Path, height: int, width: int) -> bool:
    """Return whether the file is a model of this size."""
    try:
        contract = read_contract(path)
    except ShlsError:
        return False
    return (contract.height, contract.width) == (height, width)


def _fitting(model: Path, size: tuple[int, int] | None) -> Path:
    return model if size is None else fitting_model(model, size)
