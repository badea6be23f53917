"""Sessions of onnxruntime: options, devices and what really runs."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from .._support.extras import install_hint
from .._support.files import sha256_of
from .._support.folders import private_temporary_folder, user_cache
from ..errors import BadInput, DeviceUnavailable, MissingDependency
from ..hardware.cpu import clamp_threads, has_vnni, is_x86
from ..hardware.nvml import has_driver

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingDependency(f"onnxruntime: not installed. {install_hint('cpu')}.") from error

CPU_PROVIDER = "CPUExecutionProvider"
PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
ENGINES = "onnxruntime-tensorrt"
"""Folder below the user's cache folder for engines that onnxruntime's TensorRT provider builds."""

log = logging.getLogger("shls")


def offers_cuda() -> bool:
    """Return True if this onnxruntime was built with CUDA, whether or not a GPU is present.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.object(onnxruntime, "get_available_providers", return_value=["CPUExecutionProvider"]):
    ...     offers_cuda()
    False
    """
    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the session options that suit this machine.

    Parameters
    ----------
    threads : CPU threads, limited to the usable cores; 0 for all cores

    Raises
    ------
    BadInput
        If `threads` is negative.

    Examples
    --------
    >>> session_options(1).intra_op_num_threads
    1
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = clamp_threads(threads)
    options.log_severity_level = 3
    # Idle threads that spin take the cores from superpixels, memory and the other network. On two cores a frame took
    # 1.4 times as long with spinning; the network alone was equally fast either way (`shls profile`).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI, sums of uint8 times int8 saturate at 16 bits. This option keeps the sums exact. With VNNI it would
    # only halve the speed.
    if is_x86() and not has_vnni():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def create_session(
    model: Path, threads: int, device: str, content: bytes | None = None
) -> onnxruntime.InferenceSession:
    """Open a model on a device.

    Parameters
    ----------
    model : path of an ONNX file
    threads, device : as in `shls.runtime.backends.base.open_session`
    content : the file's bytes where they were changed

    Raises
    ------
    BadInput
        If onnxruntime cannot open the file, or `threads` or `device` has no such value.
    DeviceUnavailable
        If a device named explicitly is missing or cannot run the whole network.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> create_session(SHIPPED_MODEL, threads=1, device="cpu").get_providers()
    ['CPUExecutionProvider']
    """
    options, providers = session_options(threads), _providers(device, model)
    if device in PROVIDERS:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if content is not None:  # weights beside the file are then looked for in its folder
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.parent))
    try:
        session = onnxruntime.InferenceSession(content or model, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        reason = str(error).strip().splitlines()[0]
        if device in PROVIDERS:
            raise DeviceUnavailable(
                f"{model}: device {device} cannot run the whole network ({reason}). "
                "Use --device cpu, or check the libraries with `shls doctor`."
            ) from error
        raise BadInput(f"{model}: onnxruntime cannot open the file ({reason}). Export it again.") from error
    running = session.get_providers()[0]
    if device in PROVIDERS and running != PROVIDERS[device]:
        raise DeviceUnavailable(
            f"device {device}: does not start (got {running}, expected {PROVIDERS[device]}). "
            "Check the driver and the libraries with `shls doctor`, or use --device cpu."
        )
    if device == "auto" and running == CPU_PROVIDER:
        _report_cpu(offers_cuda())
    return session


def runs_on_cpu(device: str) -> bool:
    """Return True if a session for this device can only run on the CPU.

    Examples
    --------
    >>> runs_on_cpu("cpu"), runs_on_cpu("cuda")
    (True, False)
    """
    return device == "cpu" or (device == "auto" and not offers_cuda())


def backend_of(session: onnxruntime.InferenceSession) -> str:
    """Describe what really runs a session, which may differ from the requested device.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> backend_of(create_session(SHIPPED_MODEL, 1, "cpu")).endswith(", CPUExecutionProvider")
    True
    """
    return f"onnxruntime {onnxruntime.__version__}, {session.get_providers()[0]}"


@cache  # the same line for both networks
def _report_cpu(built_in: bool) -> None:
    """Log why device auto runs on the CPU, as a warning if a GPU seems to be there."""
    if built_in:
        log.warning("device auto: CUDA does not start, so the networks run on the CPU. Run `shls doctor`.")
    elif has_driver():
        log.warning(
            "device auto: an NVIDIA GPU is present, but this onnxruntime has no CUDA, so the networks run on the CPU. "
            "Build an engine with `shls export MODEL.onnx --format engine`, or install onnxruntime-gpu."
        )
    else:
        log.info("device auto: no NVIDIA GPU, so the networks run on the CPU")


def _providers(device: str, model: Path) -> list[str | tuple[str, dict[str, Any]]]:
    """List onnxruntime's providers for a device, the preferred one first."""
    available = onnxruntime.get_available_providers()
    if device == "cpu":
        return [CPU_PROVIDER]
    if device == "auto":
        return [name for name in (PROVIDERS["cuda"], CPU_PROVIDER) if name in available]
    if device not in PROVIDERS:
        raise BadInput(
            f"device: unknown (got {device!r}, expected cpu, {', '.join(PROVIDERS)} or auto). Give one of these."
        )
    if PROVIDERS[device] not in available:
        raise DeviceUnavailable(
            f"device {device}: not in this onnxruntime (got {', '.join(available)}, expected {PROVIDERS[device]}). "
            "Run `pip uninstall -y onnxruntime && pip install onnxruntime-gpu`, or use --device cpu."
        )
    if device == "cuda":
        return [PROVIDERS[device]]
    # TensorRT leaves some operators to CUDA.
    return [(PROVIDERS[device], _engine_cache(model)), *(name for name in (PROVIDERS["cuda"],) if name in available)]


def _engine_cache(model: Path) -> dict[str, Any]:
    """Return options of the TensorRT provider that keep its engines.

    onnxruntime names an engine by the graph and not by its weights, so each model has a folder of its own.
    """
    parent = user_cache() or private_temporary_folder()
    folder = parent / ENGINES / f"{sha256_of(model)[:16]}-{onnxruntime.__version__}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        log.warning("device tensorrt: engines are built now, which takes minutes; they are kept in %s", folder)
    place = str(folder)
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": place,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": place,
    }
