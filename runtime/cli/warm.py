"""`shls warm`: everything that a first start would have to do."""

from __future__ import annotations

import sys

import typer

from .options import Device, Model, Refined, Refiner, Threads, check_refiner


def warm(
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Compile the kernels for this processor and load the networks once, so that the first start is a quick one."""
    from .._support.numba_cache import cache_folder
    from ..io.synthetic import SIZE, noise
    from ..pipeline import warm_up
    from ..segmenter import open_segmenter

    check_refiner(refiner, refined)
    took = compile_with_bar()
    with open_segmenter(model, threads, device=device, refiner=refiner, refined=refined) as segmenter:
        took += warm_up(segmenter, noise(SIZE))
    typer.echo(f"ready after {took:.1f} s; compiled kernels are in {cache_folder()}")


def compile_with_bar() -> float:
    """Compile the kernels with a progress bar; return the duration in seconds.

    Examples
    --------
    >>> compile_with_bar() >= 0
    True
    """
    from .._support.numba_cache import is_compiled
    from ..compilation import PARTS, compile_kernels

    if is_compiled():
        return 0.0
    with typer.progressbar(length=len(PARTS), label="compiling", show_pos=True, file=sys.stderr) as bar:
        return compile_kernels(lambda done, _: bar.update(done - bar.pos))
