"""Video object segmentation on the device: numpy, OpenCV, numba and one inference engine.

>>> segmenter = open_segmenter()
>>> segmenter.start(first_frame, mask)
>>> segmenter.step(next_frame).labels
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._support.numba_cache import use_cache

if TYPE_CHECKING:
    from .segmenter import VideoSegmenter as VideoSegmenter
    from .segmenter import open_segmenter as open_segmenter

__all__ = ["VideoSegmenter", "open_segmenter"]

# Idle OpenMP threads spin by default, which slows every kernel many times over beside another busy process.
# OpenMP reads this once, so it must stand before numba loads it. Where cores are to spare GOMP_SPINCOUNT=3000 may pay:
# on two idle cores warm superpixels took 2.0 ms in place of 2.9 (`benchmarks/core.py`), beside a decoder more.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
use_cache(Path(__file__).parent)


def __getattr__(name: str) -> Any:
    """Load the segmenter when it is asked for: `import shls.runtime` alone stays light."""
    if name in __all__:
        from . import segmenter

        return getattr(segmenter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
