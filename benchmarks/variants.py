"""J&F of the shipped models with one setting or stage changed per row.

    python benchmarks/variants.py --root DAVIS --set single.txt [--only refined 'N = 1000']

All rows use the same networks. Each is measured on the sequences and on their mirror images: a gain in only one of
the two is chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from common import at_least, described, plainly, with_settings
from shls.runtime.evaluation.evaluate import evaluate
from shls.runtime.evaluation.metrics import Score
from shls.runtime.memory.bank import MemoryBank
from shls.runtime.models.contract import Contract
from shls.runtime.segmenter import VideoSegmenter, open_segmenter
from shls.runtime.types import Mask

Change = Callable[[Contract], Contract]


class Mirrored:
    """Shows a segmenter everything left for right; see `shls.runtime.evaluation.evaluate.Segmenter`."""

    def __init__(self, segmenter: VideoSegmenter) -> None:
        self._segmenter = segmenter

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        self._segmenter.start(mirrored(image), mirrored(mask))

    def step(self, image: np.ndarray) -> Mask:
        found = self._segmenter.step(mirrored(image))
        return Mask(mirrored(found.labels), found.scores)

    def add(self, mask: np.ndarray) -> Mask:
        found = self._segmenter.add(mirrored(mask))
        return Mask(mirrored(found.labels), found.scores)


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


class Forgetful(VideoSegmenter):
    """Segmenter whose memory does not learn from the refiner."""

    def _to_remember(self, seen: object, readout: object, planes: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return readout.probabilities  # type: ignore[attr-defined,no-any-return]


class ShortSighted(VideoSegmenter):
    """Memory bank whose prototypes stay those of the reference frame.

    Without any the refiner does not know its input again, it learned with them.
    """

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        super().start(image, mask)
        only_memory(self)._learn = lambda *_: None  # type: ignore[method-assign]


class Fixed(VideoSegmenter):
    """Memory bank that only keeps the reference frame."""

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        super().start(image, mask)
        only_memory(self).write = lambda *_: None  # type: ignore[method-assign]


def only_memory(segmenter: VideoSegmenter) -> MemoryBank:
    """Return the memory bank of the objects that were marked at the start."""
    assert segmenter._memory is not None
    ((memory, _, _),) = segmenter._memory._groups
    return memory


def memory(**settings: float) -> Change:
    return lambda contract: with_settings(contract, memory=settings)


def superpixels(count: int) -> Change:
    return lambda contract: with_settings(contract, superpixels={"count": count})


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
    "N = 1600": (VideoSegmenter, True, superpixels(1600)),
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
    print(f"{'variant':40}      J      F    J&F  mirrored   both")
    for name in options.only:
        plain, turned = (
            evaluate(options.root, options.names, partial(opened, name), jobs=options.jobs).mean()
            for opened in (open_variant, open_mirrored)
        )
        both = (j_and_f(plain) + j_and_f(turned)) / 2
        cells = f"{plain.j:.3f}  {plain.f:.3f}  {j_and_f(plain):.3f}  {j_and_f(turned):8.3f}  {both:.3f}"
        print(f"{name:40}  {cells}", flush=True)


def open_mirrored(name: str) -> Mirrored:
    return Mirrored(open_variant(name))


def open_variant(name: str) -> VideoSegmenter:
    kind, refined, change = VARIANTS[name]
    opened = open_segmenter(threads=1, refined=refined)
    opened.session.contract = change(opened.session.contract)
    return kind(opened.session, opened.refiner)


def j_and_f(score: Score) -> float:
    return (score.j + score.f) / 2


if __name__ == "__main__":
    plainly(main)
