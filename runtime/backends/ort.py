"""ONNX models under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BadInput, DeviceUnavailable, MissingDependency
from ..hardware.cpu import has_vnni, is_x86
from ..models.onnx_reader import read_contract, read_refiner_contract
from ..types import Crops

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependency("onnxruntime is not installed; run `pip install 'shls[cpu]'`") from error

CPU_PROVIDER = "CPUExecutionProvider"
PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OrtSession:
    """A model on the CPU or a GPU; see `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : of onnxruntime's pool, 0 for all cores
    device : cpu, cuda or tensorrt, none of which falls back; auto is CUDA where it works, else the CPU
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_contract(model)
        self._session = create_session(model, threads, device)
        self.backend = backend_of(self._session)
        self.on_gpu = self._session.get_providers()[0] != "CPUExecutionProvider"

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (D, h, w) float32, unit length along D."""
        (features,) = self._session.run([self.contract.output], {self.contract.input: tensor})
        return np.asarray(features[0])


class OrtRefiner:
    """A refiner on the CPU or a GPU; see `shls.runtime.backends.base.Refiner`.

    Parameters
    ----------
    model : path of an ONNX file
    threads : of onnxruntime's pool, 0 for all cores
    device : see `shls.runtime.backends.base.open_session`
    """

    def __init__(self, model: Path, threads: int = 0, device: str = "auto") -> None:
        self.contract = read_refiner_contract(model)
        self._session = create_session(model, threads, device)
        batch = self._session.get_inputs()[0].shape[0]
        self._at_once = batch if isinstance(batch, int) else None
        self.backend = backend_of(self._session)

    def run(self, crops: Crops) -> np.ndarray:
        """Return a logit per pixel of each crop, (V, S, S) float32; V is at least 1."""
        at_once = self._at_once or len(crops.objects)
        parts = [slice(at, at + at_once) for at in range(0, len(crops.objects), at_once)]
        return np.concatenate([self._run(crops.images[part], crops.features[part], at_once) for part in parts])

    def _run(self, images: np.ndarray, features: np.ndarray, at_once: int) -> np.ndarray:
        """Run up to as many crops as the model takes, the missing ones as zeros."""
        missing = [(0, at_once - len(images)), (0, 0), (0, 0), (0, 0)]
        feeds = {self.contract.crops: np.pad(images, missing), self.contract.features: np.pad(features, missing)}
        (logits,) = self._session.run([self.contract.output], feeds)
        return np.asarray(logits)[: len(images)]


def offers_cuda() -> bool:
    """Tell whether this onnxruntime was built for CUDA; that a GPU is there is not said."""
    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How networks are run on this machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait for the next run busily take the cores from superpixels, memory and the other network: on two
    # cores the whole frame took 1.4 times as long, while a network alone is as fast either way (`shls profile`).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, sums of uint8 times int8 saturate at 16 bits. The option keeps them exact; with VNNI it would
    # only make them half as fast.
    if is_x86() and not has_vnni():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def create_session(model: Path, threads: int, device: str) -> onnxruntime.InferenceSession:
    """Open a model on a device; the parameters and errors are those of `shls.runtime.backends.base.open_session`."""
    options = session_options(threads)
    providers = _providers(device)
    if device in PROVIDERS:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        if device in PROVIDERS:
            raise DeviceUnavailable(
                f"{model}: onnxruntime cannot run all of it on {device} ({_first_line(error)}); use --device cpu"
            ) from error
        raise BadInput(f"{model}: onnxruntime cannot open it ({_first_line(error)}); export it again") from error
    running = session.get_providers()[0]
    if device in PROVIDERS and running != PROVIDERS[device]:
        raise DeviceUnavailable(
            f"device {device} was asked for, but onnxruntime runs on {running}; check the driver and the "
            "libraries with `shls doctor`, or use --device cpu"
        )
    return session


def _providers(device: str) -> list[str]:
    available = onnxruntime.get_available_providers()
    if device == "cpu":
        return [CPU_PROVIDER]
    if device == "auto":
        return [name for name in (PROVIDERS["cuda"], CPU_PROVIDER) if name in available]
    if device not in PROVIDERS:
        raise BadInput(f"device {device!r}; expected cpu, {', '.join(PROVIDERS)} or auto")
    if PROVIDERS[device] not in available:
        raise DeviceUnavailable(
            f"device {device} was asked for, but this onnxruntime has {', '.join(available)} only; "
            "install one for the GPU, `pip install 'shls[gpu]'`, or use --device cpu"
        )
    return [PROVIDERS[device]]


def backend_of(session: onnxruntime.InferenceSession) -> str:
    """Say what really runs; what was asked for is another thing."""
    return f"onnxruntime {onnxruntime.__version__}, {session.get_providers()[0]}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
