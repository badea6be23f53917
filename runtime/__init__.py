"""Video object segmentation on the device: numpy, OpenCV, numba and one inference engine; never torch or onnx."""

from __future__ import annotations

import os
from pathlib import Path

from ._support.numba_cache import use_cache

# Idle OpenMP threads spin by default, which slows every kernel many times over beside another busy process.
# OpenMP reads the variable once, so it is set before numba loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
use_cache(Path(__file__).parent)
