"""Engines in the user's cache: found again by the network, the GPU, its driver and TensorRT.

An engine's name is a digest of all that it depends on, so an engine of another GPU, driver, TensorRT or network is not
found and stays untouched. Size and precision belong to the network's file.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from .._support.files import sha256_of
from .._support.folders import user_cache
from ..errors import BadInput, ShlsError
from ..models.engine_info import check_engine
from .cudart import Cuda
from .trt_api import TensorRT, load_tensorrt, this_machine

FOLDER = "engines"
"""Name of the folder of engines in the user's cache."""

log = logging.getLogger("shls")


def engine_path(model: Path, trt: TensorRT, cuda: Cuda) -> Path:
    """Return the place of a network's engine for this machine; there need not be one.

    Parameters
    ----------
    model : ONNX file
    trt, cuda : TensorRT's module and the CUDA runtime

    Raises
    ------
    BadInput
        If the user's cache folder cannot be written, or the model cannot be read.

    Examples
    --------
    >>> engine_path(Path("shls-edge.onnx"), load_tensorrt(), Cuda()).suffix  # doctest: +SKIP
    '.engine'
    """
    home = user_cache()
    if home is None:
        raise BadInput(
            "engines: the user's cache folder cannot be written (expected ~/.cache/shls). Set XDG_CACHE_HOME to a "
            "folder that lasts, or build with `shls export --format engine` and give --model and --refiner"
        )
    machine = this_machine(trt, cuda)
    words = [machine.gpu, machine.compute_capability, machine.tensorrt, cuda.driver]
    key = hashlib.sha256("\n".join([*words, _prefix(model)]).encode()).hexdigest()[:16]
    return home / FOLDER / f"{_prefix(model)}-{key}.engine"


def has_engines() -> bool:
    """Return whether the user's cache holds any engine; neither TensorRT nor a GPU is asked.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, XDG_CACHE_HOME=home):
    ...     has_engines()
    False
    """
    home = user_cache()
    return home is not None and any((home / FOLDER).glob("*.engine"))


def cached_engine(model: Path, trt: TensorRT | None = None, cuda: Cuda | None = None) -> Path | None:
    """Return the engine that was built from a network for this machine, or None.

    A damaged or half-built engine is not returned; a warning names it.

    Parameters
    ----------
    model : ONNX file
    trt, cuda : TensorRT's module and the CUDA runtime; the installed ones by default

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> cached_engine(SHIPPED_MODEL) is None  # doctest: +SKIP
    True
    """
    home = user_cache()
    if home is None or not any((home / FOLDER).glob(f"{_prefix(model)}-*.engine")):
        return None
    try:
        trt, cuda = trt or load_tensorrt(), cuda or Cuda()
        path = engine_path(model, trt, cuda)
        if not path.exists():
            log.info(
                "engines: those of %s were built for another GPU, driver or TensorRT; run with --build", model.name
            )
            return None
        check_engine(path, this_machine(trt, cuda))
    except ShlsError as error:
        log.warning("engines: %s. Until then the ONNX file runs; --build makes a new engine", str(error).rstrip("."))
        return None
    return path


def _prefix(model: Path) -> str:
    return f"{model.stem}-{sha256_of(model)[:16]}"
