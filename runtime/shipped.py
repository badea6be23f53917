"""The models that come with the package, and which of them is the fastest here."""

from __future__ import annotations

from pathlib import Path

from shls.runtime.cpu import has_vnni

ASSETS = Path(__file__).parent / "assets"
EXACT = "shls-edge.onnx"
INT8_CPU = "shls-edge.int8-cpu.onnx"


def shipped_model(device: str = "auto", folder: Path = ASSETS) -> Path:
    """Pick the fastest shipped model for a device.

    On the CPU that is INT8 where it has VNNI, twice as fast as fp32 there; without, or on a GPU, it is fp32.
    Measured on x86 alone (`benchmarks/precision.py`), so other CPUs take fp32, too.

    Parameters
    ----------
    device : cpu, cuda, tensorrt or auto, see `shls.runtime.session.open_session`
    folder : that holds the models
    """
    quantized = folder / INT8_CPU
    on_cpu = device == "cpu" or (device == "auto" and not _gpu_provider())
    return quantized if on_cpu and has_vnni() and quantized.exists() else folder / EXACT


def _gpu_provider() -> bool:
    from shls.runtime.ort_session import offers_cuda  # needs onnxruntime, which a named GPU may do without

    return offers_cuda()
