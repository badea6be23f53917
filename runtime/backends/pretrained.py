"""The models that come with the package, and the choice of the fastest one for a device."""

from __future__ import annotations

import logging
from pathlib import Path

from ..hardware.cpu import has_vnni
from ..models.contract import Contract
from ..models.onnx_reader import read_prompter_contract, read_refiner_contract

ASSETS = Path(__file__).parents[1] / "assets"
EXACT, EXACT_REFINER = "shls-edge.onnx", "shls-edge-refiner.onnx"
EXACT_PROMPTER, INT8_CPU_PROMPTER = "shls-edge-prompter.onnx", "shls-edge-prompter.int8-cpu.onnx"
SHIPPED_MODEL = ASSETS / EXACT
"""Embedding in fp32, the same on every machine; `shipped_model` picks the fastest."""
INT8_CPU, INT8_CPU_REFINER = "shls-edge.int8-cpu.onnx", "shls-edge-refiner.int8-cpu.onnx"

log = logging.getLogger("shls")


def shipped_model(device: str = "auto", folder: Path = ASSETS) -> Path:
    """Return the path of the fastest shipped embedding for a device.

    That is INT8 on a CPU with VNNI, where INT8 is twice as fast as fp32 (measured on x86, `benchmarks/precision.py`).
    Other CPUs and GPUs take fp32.

    Parameters
    ----------
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`
    folder : folder that holds the models

    Examples
    --------
    >>> shipped_model("cuda").name
    'shls-edge.onnx'
    """
    return _fastest(folder / EXACT, folder / INT8_CPU, device)


def shipped_refiner(embedding: Contract, device: str = "auto", folder: Path = ASSETS) -> Path | None:
    """Return the path of the fastest shipped refiner for a device.

    Parameters
    ----------
    embedding : contract of the embedding that the refiner will work with
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`
    folder : folder that holds the models

    Returns
    -------
    Path, or None if the shipped refiner was trained with another embedding; then a warning is logged.

    Examples
    --------
    >>> from shls.runtime.models.onnx_reader import read_contract
    >>> shipped_refiner(read_contract(SHIPPED_MODEL), "cuda").name
    'shls-edge-refiner.onnx'
    """
    exact = folder / EXACT_REFINER
    if not exact.exists() or read_refiner_contract(exact).embedding_sha256 != embedding.checkpoint_sha256:
        log.warning(
            "refiner: the shipped refiner was trained with another embedding, so colours alone decide outlines. "
            "Give a refiner of this embedding, or leave refinement out to silence this message."
        )
        return None
    return _fastest(exact, folder / INT8_CPU_REFINER, device)


def shipped_prompter(embedding: Contract, device: str = "auto", folder: Path = ASSETS) -> Path | None:
    """Return the path of the fastest shipped prompter for a device.

    Parameters are those of `shipped_refiner`.

    Returns
    -------
    Path, or None without a shipped prompter that was trained with this embedding; GrabCut then finds prompted objects.

    Examples
    --------
    >>> from shls.runtime.models.onnx_reader import read_contract
    >>> shipped_prompter(read_contract(SHIPPED_MODEL), "cuda").name
    'shls-edge-prompter.onnx'
    """
    exact = folder / EXACT_PROMPTER
    if not exact.exists() or read_prompter_contract(exact).embedding_sha256 != embedding.checkpoint_sha256:
        log.info("prompter: none was trained with this embedding, so GrabCut finds what boxes and points mark.")
        return None
    return _fastest(exact, folder / INT8_CPU_PROMPTER, device)


def _fastest(exact: Path, quantized: Path, device: str) -> Path:
    on_cpu = device == "cpu" or (device == "auto" and not _gpu_provider())
    return quantized if on_cpu and has_vnni() and quantized.exists() else exact


def _gpu_provider() -> bool:
    from .ort_session import offers_cuda  # needs onnxruntime, which engines run without

    return offers_cuda()
