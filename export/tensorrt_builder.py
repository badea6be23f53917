"""Build a TensorRT engine from an ONNX file, with its description, on the device that will run the engine.

The same code serves TensorRT 10.3 to 11: it looks for features in TensorRT's module and ignores version numbers.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shls.runtime._support.files import sha256_of, write_whole
from shls.runtime.backends.cudart import Cuda
from shls.runtime.backends.trt_api import TensorRT, load_tensorrt, make_logger, this_machine
from shls.runtime.backends.trt_engine import shapes_of
from shls.runtime.errors import BadInput, ExportFailed
from shls.runtime.models.contract import AnyContract
from shls.runtime.models.engine_info import Machine, Sidecar, write_sidecar
from shls.runtime.models.onnx_reader import has_open_batch, read_any_contract

if TYPE_CHECKING:
    import tensorrt

Progress = Callable[[str, int, int], None]
"""Function called with the name of a phase, the number of finished steps, and the number of all steps."""
WORKSPACE_MB = 1024
"""Largest workspace of the builder, MB; the networks need a tenth of it."""
OBJECTS = (1, 2, 8)
"""Lowest, usual and highest number of objects in one run, for models with an open batch axis.

The runtime splits more objects into several runs.
"""


def to_engine(
    onnx: Path,
    out: Path,
    *,
    trt: TensorRT | None = None,
    cuda: Cuda | None = None,
    progress: Progress | None = None,
) -> Sidecar:
    """Build an engine on this machine's GPU, write the engine, then its description.

    Parameters
    ----------
    onnx
        A model that `shls export` or `shls calibrate --target tensorrt` wrote.
    out
        Engine file to write.
    trt, cuda
        TensorRT's module and the CUDA runtime; the installed ones by default.
    progress
        See `Progress`.

    Returns
    -------
    The description of the engine.

    Raises
    ------
    BadInput
        If the model cannot be read, or the engine cannot be written.
    ExportFailed
        If TensorRT refuses the model; the message has TensorRT's reason.
    DeviceUnavailable, MissingDependency
        If there is no GPU, no TensorRT or no CUDA runtime.

    Examples
    --------
    >>> to_engine(Path("edge.onnx"), Path("edge.engine")).machine.compute_capability  # doctest: +SKIP
    '8.7'
    """
    contract = contract_for_tensorrt(onnx)
    trt, cuda = trt or load_tensorrt(), cuda or Cuda()
    machine = this_machine(trt, cuda)
    cache = out.with_name(timing_cache_name(machine))
    plan = build_plan(trt, onnx, contract, workspace_mb(), cache, progress)
    write_whole(out, plan)
    sidecar = Sidecar(contract, machine, onnx.name, sha256_of(onnx), sha256_of(out))
    write_sidecar(sidecar, out)
    return sidecar


def contract_for_tensorrt(onnx: Path) -> AnyContract:
    """Read the contract of a model that TensorRT can build.

    Raises
    ------
    BadInput
        If the model cannot be read, or was quantised for the CPU.
    ContractMismatch
        If the model carries no contract that this version reads.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> contract_for_tensorrt(ASSETS / EXACT).precision
    'fp32'
    """
    contract = read_any_contract(onnx)
    if contract.precision == "int8-cpu":
        raise BadInput(
            f"{onnx}: wrong precision for TensorRT (got int8-cpu, expected fp32, fp16 or int8-tensorrt). "
            "Quantise the fp32 model with `shls calibrate --target tensorrt`"
        )
    return contract


def build_plan(
    trt: TensorRT,
    onnx: Path,
    contract: AnyContract,
    workspace: int,
    cache: Path | None = None,
    progress: Progress | None = None,
    log: list[str] | None = None,
) -> bytes:
    """Build the bytes of an engine, strongly typed: each layer has the precision of the ONNX file.

    Parameters
    ----------
    trt
        TensorRT's module.
    onnx, contract
        The model and its contract.
    workspace
        Largest workspace of the builder, MB.
    cache
        Timing cache file, read and then replaced; needs a GPU. None for no cache.
    progress
        See `Progress`.
    log
        List that receives every line of TensorRT's log, including the final layers with their types.

    Raises
    ------
    ExportFailed
        If TensorRT refuses the model; the message has TensorRT's reason.

    Examples
    --------
    >>> plan = build_plan(load_tensorrt(), Path("edge.onnx"), contract, workspace_mb())  # doctest: +SKIP
    """
    lines: list[str] = [] if log is None else log
    logger = make_logger(trt, lines, verbose=log is not None)
    builder = trt.Builder(logger)
    for typed in (True, False):
        network = builder.create_network(_creation_flags(trt, typed))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(onnx)):  # by path, because external data lies beside the file
            errors = [str(parser.get_error(at)) for at in range(parser.num_errors)]
            raise ExportFailed(
                f"{onnx}: TensorRT's parser refuses it ({_one_line(errors)}). Export the model again, or use another "
                "version of TensorRT"
            )
        config = _config(trt, builder, workspace, progress)
        _add_profile(builder, network, config)
        if not typed:
            _allow_precisions(trt, config, contract.precision)
        timings = _load_timings(config, cache)
        plan = builder.build_serialized_network(network, config)
        if plan is not None:
            _keep_timings(timings, cache)
            return bytes(plan)
        if not _has_weak_typing(trt):
            break
    raise ExportFailed(
        f"{onnx}: TensorRT cannot build it ({_one_line(lines[-3:])}). Free memory, or use another version of TensorRT"
    )


def timing_cache_name(machine: Machine) -> str:
    """Return the name of the timing cache; it contains the GPU and the version that the timings are valid for.

    Examples
    --------
    >>> timing_cache_name(Machine("Orin", "8.7", "10.3.0"))
    'Orin-8.7-trt10.3.0.timing'
    """
    words = f"{machine.gpu}-{machine.compute_capability}-trt{machine.tensorrt}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in words) + ".timing"


def workspace_mb() -> int:
    """Return the builder's workspace in MB: a quarter of the available memory, 64 to `WORKSPACE_MB`.

    On boards, GPU and CPU share the memory.

    Examples
    --------
    >>> 64 <= workspace_mb() <= WORKSPACE_MB
    True
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        # MemAvailable counts the pages that the page cache would give back; the number of free pages does not.
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    return max(64, min(WORKSPACE_MB, free // 4 // 2**20))


def trtexec_line(onnx: Path, out: Path) -> str:
    """Return the trtexec command that builds the same engine; `shls info --adopt` then writes its description.

    Raises
    ------
    BadInput, ContractMismatch
        As `contract_for_tensorrt`.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> trtexec_line(ASSETS / EXACT, Path("edge.engine")).split()[0]
    'trtexec'
    """
    words = ["trtexec", f"--onnx={onnx}", f"--saveEngine={out}", "--stronglyTyped"]
    words += [f"--memPoolSize=workspace:{workspace_mb()}M", "--skipInference"]
    if has_open_batch(onnx):
        shapes = shapes_of(read_any_contract(onnx)).inputs
        for option, count in zip(("min", "opt", "max"), OBJECTS, strict=True):
            sizes = [f"{name}:{'x'.join(map(str, (count, *shape)))}" for name, shape in shapes.items()]
            words.append(f"--{option}Shapes={','.join(sizes)}")
    return shlex.join(words)


def _creation_flags(trt: TensorRT, typed: bool) -> int:
    flags = trt.NetworkDefinitionCreationFlag.__members__
    return 1 << int(flags["STRONGLY_TYPED"]) if typed and "STRONGLY_TYPED" in flags else 0


def _has_weak_typing(trt: TensorRT) -> bool:
    return "FP16" in trt.BuilderFlag.__members__


def _allow_precisions(trt: TensorRT, config: tensorrt.IBuilderConfig, precision: str) -> None:
    """Allow reduced precisions, which a weakly typed network of TensorRT 10 needs."""
    for name in {"fp16": ["FP16"], "int8-tensorrt": ["FP16", "INT8"]}.get(precision, []):
        config.set_flag(trt.BuilderFlag.__members__[name])


def _config(
    trt: TensorRT, builder: tensorrt.Builder, workspace: int, progress: Progress | None
) -> tensorrt.IBuilderConfig:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace * 2**20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # profiles then name the layers
    if progress is not None and hasattr(trt, "IProgressMonitor"):
        config.progress_monitor = _monitor(trt, progress)
    return config


def _add_profile(
    builder: tensorrt.Builder, network: tensorrt.INetworkDefinition, config: tensorrt.IBuilderConfig
) -> None:
    """Set the range of objects per run if the model has an open batch axis."""
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    if all(tensor.shape[0] >= 0 for tensor in inputs):
        return
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        least, usual, most = ((count, *tensor.shape[1:]) for count in OBJECTS)
        profile.set_shape(tensor.name, least, usual, most)  # type: ignore[arg-type]  # a tuple stands for Dims
    config.add_optimization_profile(profile)


def _monitor(trt: TensorRT, progress: Progress) -> tensorrt.IProgressMonitor:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:  # noqa: ARG002
            self._steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, self._steps[phase])
            return True  # True continues the build

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


def _load_timings(config: tensorrt.IBuilderConfig, cache: Path | None) -> tensorrt.ITimingCache | None:
    """Give the builder the timings of earlier builds; a file that the builder refuses is replaced later."""
    if cache is None:
        return None
    timings = config.create_timing_cache(cache.read_bytes() if cache.exists() else b"")
    if timings is None or not config.set_timing_cache(timings, ignore_mismatch=False):
        timings = config.create_timing_cache(b"")
        config.set_timing_cache(timings, ignore_mismatch=False)
    return timings


def _keep_timings(timings: tensorrt.ITimingCache | None, cache: Path | None) -> None:
    if cache is not None and timings is not None:
        write_whole(cache, bytes(timings.serialize()))


def _one_line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split()) or "it gave no reason"
