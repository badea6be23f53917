"""Compilation ahead of time: complete, once for several processes, and no obstacle where it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shls.runtime import compilation
from shls.runtime._support.numba_cache import is_compiled, mark_compiled
from shls.runtime.compilation import PARTS, compile_kernels

SIGNATURES = """
import json, sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from shls.runtime.compilation import PARTS
from shls.runtime.io.synthetic import SyntheticSource
from shls.runtime.segmenter import open_segmenter

def compiled():
    places = [vars(module).values() for name, module in sys.modules.items() if name.startswith("shls.runtime")]
    kernels = {value for place in places for value in place if isinstance(value, Dispatcher)}
    return {(kernel.py_func.__qualname__, str(types)) for kernel in kernels for types in kernel.signatures}

for part in PARTS.values():
    part()
before = compiled()
for size in ((96, 150), (64, 96)):
    frames = [frame.image for frame in SyntheticSource(18, size)]
    mask = np.zeros(size, np.uint8)
    mask[20:60, 20:50], mask[20:60, 60:90] = 1, 2
    with open_segmenter(device="cpu") as segmenter:
        segmenter.start(frames[0], mask)
        for frame in frames[1:]:
            segmenter.step(frame)
print(json.dumps([len(before), sorted(compiled() - before)]))
"""


def test_every_part_is_compiled_in_a_process() -> None:
    reported = list[tuple[int, int]]()
    assert compilation._compile(lambda *found: reported.append(found))
    assert reported == [(done, len(PARTS)) for done in range(len(PARTS) + 1)]


def test_a_run_needs_nothing_that_is_not_compiled_ahead() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNATURES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, missing = json.loads(done.stdout)
    assert count > 35
    assert missing == []


def test_of_two_at_once_one_compiles_and_the_second_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    begun = list[float]()

    def compile_slowly(_: object) -> bool:
        begun.append(time.perf_counter())
        time.sleep(0.2)
        return True

    monkeypatch.setattr(compilation, "_compile", compile_slowly)
    with ThreadPoolExecutor(2) as pool:
        durations = list(pool.map(lambda _: compile_kernels(), range(2)))
    assert len(begun) == 1
    assert min(durations) > 0.1
    assert is_compiled()


@pytest.mark.parametrize("compiled", [True, False])
def test_the_first_compilation_is_announced(
    compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compilation, "_compile", lambda _: True)
    if compiled:
        mark_compiled()
    compile_kernels()
    assert ("kernels: compiling" in caplog.text) is not compiled


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/python"])
def test_without_processes_kernels_are_compiled_at_their_first_call(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="shls")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "executable", program)
    compile_kernels()
    assert "not compiled in advance" in caplog.text
    assert not is_compiled()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    monkeypatch.setattr(compilation, "_compile", lambda _: True)
    assert compile_kernels() >= 0
    assert not is_compiled()
