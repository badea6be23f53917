"""Parallel kernels from several Python threads, which numba's own threading layer does not survive."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from shls.runtime._support import threading_layer as kernels

SCRIPT = """
import threading
import numpy as np
from numba import njit, prange, threading_layer
from shls.runtime._support import threading_layer as kernels

@njit(parallel=True, nogil=True)
def sums(x):
    for n in prange(len(x)):
        x[n] = x[n] + np.arange(2000.0).sum()

@kernels.in_turn
def work():
    sums(np.zeros(200))

work()
threads = [threading.Thread(target=lambda: [work() for _ in range(100)]) for _ in range(3)]
[one.start() for one in threads]
[one.join() for one in threads]
print(threading_layer())
"""


def test_numba_s_own_layer_survives_three_threads() -> None:
    environment = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "workqueue"), run.stderr


@pytest.mark.parametrize(("layers", "safe"), [(["omp", "workqueue"], True), (["workqueue"], False)])
def test_what_is_safe(layers: list[str], safe: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "threading_layers", lambda: layers)
    assert kernels.safe() is safe


@pytest.mark.parametrize("known", [True, False])
def test_turns_are_taken_only_where_they_must(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_known", known)
    both = threading.Barrier(2)

    @kernels.in_turn
    def meet() -> bool:
        try:
            both.wait(5 if known else 0.2)
        except threading.BrokenBarrierError:
            return False
        return True

    met = list[bool]()
    threads = [threading.Thread(target=lambda: met.append(meet())) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert met == [known, known]
