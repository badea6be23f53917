"""ONNX -> TensorRT engine, with its description, on the device that will run it.

One source for TensorRT 10.3 to 11: what a version can do is asked of its module, never of its version number.
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
"""Called with a phase's name, the steps done in it, and all its steps."""
WORKSPACE_MB = 1024
"""For the builder's trials; the network needs a tenth of it. Less where memory is short."""
OBJECTS = (1, 2, 8)
"""Least, usual and most objects of one run, where the model leaves their number open; more take turns."""


def to_engine(
    onnx: Path,
    out: Path,
    *,
    trt: TensorRT | None = None,
    cuda: Cuda | None = None,
    progress: Progress | None = None,
) -> Sidecar:
    """Build an engine on this machine's GPU and write it with its description; the description last.

    Parameters
    ----------
    onnx : a model that `shls export` or `shls calibrate --target tensorrt` wrote
    out : engine file to write
    trt, cuda : TensorRT's module and the CUDA runtime, where they are not the installed ones
    progress : see `Progress`

    Raises
    ------
    BadInput
        If the model or the place cannot be used.
    ExportFailed
        If TensorRT refuses the model; with its reason.
    DeviceUnavailable, MissingDependency
        If there is no GPU, no TensorRT or no CUDA runtime.
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
    """Read what a model promises; raises BadInput if it is not one for TensorRT."""
    contract = read_any_contract(onnx)
    if contract.precision == "int8-cpu":
        raise BadInput(
            f"{onnx}: is int8-cpu, whose uint8 graph TensorRT refuses; make one with `shls calibrate --target tensorrt`"
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
    """Build the engine's bytes; strongly typed, so that each layer has the precision that the ONNX file says.

    Parameters
    ----------
    trt : TensorRT's module
    onnx, contract : the model and what it promises
    workspace : MB that the builder may use
    cache : timing cache to use and to keep, needs a GPU; None for none
    progress : see `Progress`
    log : takes every line that TensorRT says, the final layers with their types among them

    Raises
    ------
    ExportFailed
        If TensorRT refuses the model; with its reason.
    """
    lines: list[str] = [] if log is None else log
    logger = make_logger(trt, lines, verbose=log is not None)
    builder = trt.Builder(logger)
    for typed in (True, False):
        network = builder.create_network(_creation_flags(trt, typed))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(onnx.read_bytes()):
            errors = [str(parser.get_error(at)) for at in range(parser.num_errors)]
            raise ExportFailed(f"{onnx}: TensorRT's parser refuses it ({_one_line(errors)})")
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
    raise ExportFailed(f"{onnx}: TensorRT cannot build it ({_one_line(lines[-3:])})")


def timing_cache_name(machine: Machine) -> str:
    """Timings hold for one GPU under one version only, so the name says which."""
    words = f"{machine.gpu}-{machine.compute_capability}-trt{machine.tensorrt}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in words) + ".timing"


def workspace_mb() -> int:
    """A quarter of the memory that is free, at most WORKSPACE_MB: boards share it between GPU and CPU."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        # Free pages leave out what the page cache would give back; MemAvailable counts it.
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    return max(64, min(WORKSPACE_MB, free // 4 // 2**20))


def trtexec_line(onnx: Path, out: Path) -> str:
    """Return the vendor's command that builds the same engine, without our description."""
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
    """Without strong typing, on TensorRT 10 alone, reduced precisions have to be allowed."""
    for name in {"fp16": ["FP16"], "int8-tensorrt": ["FP16", "INT8"]}.get(precision, []):
        config.set_flag(trt.BuilderFlag.__members__[name])


def _config(
    trt: TensorRT, builder: tensorrt.Builder, workspace: int, progress: Progress | None
) -> tensorrt.IBuilderConfig:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace * 2**20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names layers for profiles; costs no time
    if progress is not None and hasattr(trt, "IProgressMonitor"):
        config.progress_monitor = _monitor(trt, progress)
    return config


def _add_profile(
    builder: tensorrt.Builder, network: tensorrt.INetworkDefinition, config: tensorrt.IBuilderConfig
) -> None:
    """Say how many objects come, where the model leaves it open."""
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    if all(tensor.shape[0] >= 0 for tensor in inputs):
        return
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        least, usual, most = ((count, *tensor.shape[1:]) for count in OBJECTS)
        profile.set_shape(tensor.name, least, usual, most)  # type: ignore[arg-type]  # takes what Dims are made of
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
            return True  # go on

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


def _load_timings(config: tensorrt.IBuilderConfig, cache: Path | None) -> tensorrt.ITimingCache | None:
    """Give the builder the timings of earlier builds; a file that it refuses is left unused and replaced."""
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
