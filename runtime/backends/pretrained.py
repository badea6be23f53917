"""The models that come with the package, and which of them is the fastest here."""

from __future__ import annotations

from pathlib import Path

from ..hardware.cpu import has_vnni
from ..models.contract import Contract
from ..models.onnx_reader import read_refiner_contract

ASSETS = Path(__file__).parents[1] / "assets"
EXACT, EXACT_REFINER = "shls-edge.onnx", "shls-edge-refiner.onnx"
INT8_CPU, INT8_CPU_REFINER = "shls-edge.int8-cpu.onnx", "shls-edge-refiner.int8-cpu.onnx"


def shipped_model(device: str = "auto", folder: Path = ASSETS) -> Path:
    """Pick the fastest shipped model for a device.

    On the CPU that is INT8 where it has VNNI, twice as fast as fp32 there; without, or on a GPU, it is fp32.
    Measured on x86 alone (`benchmarks/precision.py`), so other CPUs take fp32, too.

    Parameters
    ----------
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.backends.base.open_session`
    folder : that holds the models
    """
    return _fastest(folder / EXACT, folder / INT8_CPU, device)


def shipped_refiner(embedding: Contract, device: str = "auto", folder: Path = ASSETS) -> Path | None:
    """Pick the fastest shipped refiner for a device, or None if it was not trained with this embedding."""
    exact = folder / EXACT_REFINER
    if not exact.exists() or read_refiner_contract(exact).embedding_sha256 != embedding.checkpoint_sha256:
        return None
    return _fastest(exact, folder / INT8_CPU_REFINER, device)


def _fastest(exact: Path, quantized: Path, device: str) -> Path:
    on_cpu = device == "cpu" or (device == "auto" and not _gpu_provider())
    return quantized if on_cpu and has_vnni() and quantized.exists() else exact


def _gpu_provider() -> bool:
    from .ort import offers_cuda  # needs onnxruntime, which a named GPU may do without

    return offers_cuda()
