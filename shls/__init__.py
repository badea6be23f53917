"""Follow the objects of one frame through a video, in real time, on a small device.

Names are loaded when they are first used: ``import shls`` alone loads neither numpy nor an inference engine.

Examples
--------
>>> import shls
>>> segmenter = shls.open_segmenter()  # doctest: +SKIP
>>> segmenter.start(first_frame, first_mask)  # doctest: +SKIP
>>> mask = segmenter.step(next_frame)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime.errors import BadInput as BadInput
    from .runtime.errors import ContractMismatch as ContractMismatch
    from .runtime.errors import DeviceUnavailable as DeviceUnavailable
    from .runtime.errors import ExportFailed as ExportFailed
    from .runtime.errors import MissingDependency as MissingDependency
    from .runtime.errors import ShapeMismatch as ShapeMismatch
    from .runtime.errors import ShlsError as ShlsError
    from .runtime.io.sources import open_source as open_source
    from .runtime.segmenter import VideoSegmenter as VideoSegmenter
    from .runtime.segmenter import open_segmenter as open_segmenter
    from .runtime.types import Frame as Frame
    from .runtime.types import Mask as Mask

__version__ = "0.2.0"

_HOMES = {
    "open_segmenter": "segmenter",
    "VideoSegmenter": "segmenter",
    "open_source": "io.sources",
    "Frame": "types",
    "Mask": "types",
    "ShlsError": "errors",
    "BadInput": "errors",
    "ShapeMismatch": "errors",
    "ContractMismatch": "errors",
    "MissingDependency": "errors",
    "ExportFailed": "errors",
    "DeviceUnavailable": "errors",
}
"""Module of `shls.runtime` that each public name lives in."""

__all__ = ["__version__", *_HOMES]


if not TYPE_CHECKING:  # type checkers use the imports above, and report names that do not exist

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(f"{__name__}.runtime.{_HOMES[name]}"), name)
        except ModuleNotFoundError as error:
            from .runtime._support.extras import missing

            if (known := missing(error)) is not None:
                raise known from error
            raise


def __dir__() -> list[str]:
    return sorted(__all__)
