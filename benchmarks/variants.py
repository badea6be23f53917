"""J&F of the shipped models with one thing changed at a time: what each part is worth.

    python benchmarks/variants.py --root DAVIS --set single.txt [--only refined 'N = 1000']

Nothing is trained here: the networks are the same in every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from common import at_least, described, plainly
from shls.runtime.contract import Contract
from shls.runtime.evaluation import Report, evaluate
from shls.runtime.memory import Memory
from shls.runtime.segmenter import VideoSegmenter, open_segmenter

Change = Callable[[Contract], Contract]


class Forgetful(VideoSegmenter):
    """What the refiner decides does not reach the memory."""

    def _to_remember(self, seen: object, readout: object, planes: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return readout.probabilities  # type: ignore[attr-defined,no-any-return]


class ShortSighted(VideoSegmenter):
    """What leaves the recent frames is forgotten: the centroids stay those of the marked frame.

    Without any the refiner does not know its input again, it learned with them.
    """

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        super().start(image, mask)
        only_memory(self)._learn = lambda *_: None  # type: ignore[method-assign]


class Fixed(VideoSegmenter):
    """The memory is the marked frame, for ever."""

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        super().start(image, mask)
        only_memory(self).write = lambda *_: None  # type: ignore[method-assign]


def only_memory(segmenter: VideoSegmenter) -> Memory:
    """Of the objects that were marked at the start."""
    assert segmenter._memories is not None
    ((memory, _, _),) = segmenter._memories._groups
    return memory


def memory(**settings: float) -> Change:
    return lambda contract: replace(contract, memory=replace(contract.memory, **settings))  # type: ignore[arg-type]


def superpixels(count: int) -> Change:
    return lambda contract: replace(contract, superpixels=replace(contract.superpixels, count=count))


def same(contract: Contract) -> Contract:
    return contract


VARIANTS: dict[str, tuple[type[VideoSegmenter], bool, Change]] = {
    "refined": (VideoSegmenter, True, same),
    "refined, memory learns what it read": (Forgetful, True, same),
    "unrefined": (VideoSegmenter, False, same),
    "1 recent frame": (VideoSegmenter, True, memory(recent=1)),
    "no long-term memory": (ShortSighted, True, same),
    "the marked frame and the last one alone": (ShortSighted, True, memory(recent=1)),
    "the marked frame alone": (Fixed, True, same),
    "1 centroid per object": (VideoSegmenter, True, memory(clusters=1)),
    "no locality": (VideoSegmenter, True, memory(radius=10.0)),
    "1 neighbour votes": (VideoSegmenter, True, memory(neighbours=1)),
    "N = 700": (VideoSegmenter, True, superpixels(700)),
    "N = 1000": (VideoSegmenter, True, superpixels(1000)),
    "N = 2000": (VideoSegmenter, True, superpixels(2000)),
}
"""Name -> segmenter, whether a refiner decides pixels, and what is changed in the contract."""


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True, dest="names")
    parser.add_argument("--jobs", type=at_least(1), default=2)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    print(f"{'variant':40}      J      F    J&F")
    for name in options.only:
        report = evaluate(options.root, options.names, partial(open_variant, name), jobs=options.jobs)
        print(f"{name:40}  {row(report)}", flush=True)


def open_variant(name: str) -> VideoSegmenter:
    kind, refined, change = VARIANTS[name]
    opened = open_segmenter(threads=1, refined=refined)
    opened.session.contract = change(opened.session.contract)
    return kind(opened.session, opened.refiner)


def row(report: Report) -> str:
    mean = report.mean()
    return f"{mean.j:.3f}  {mean.f:.3f}  {(mean.j + mean.f) / 2:.3f}"


if __name__ == "__main__":
    plainly(main)
