"""J&F of short trainings with parts of the embedding's recipe changed; `variants.py` covers the runtime.

    python benchmarks/ablation.py STILLS --masks MASKS --out runs/ablation --root DAVIS --set SEQUENCES.txt --steps 600

Trainings and scores are kept in the folder: an interrupted run resumes, and finished parts are not repeated. All rows
use the pixel filter instead of a refiner, so only the embedding differs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from common import at_least, described, plainly
from shls.export.to_onnx import export_onnx
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.evaluation.evaluate import Report, evaluate, result_key
from shls.runtime.io.sources import open_source
from shls.runtime.segmenter import open_segmenter
from shls_train.config import TrainConfig
from shls_train.engine.run_log import Progress
from shls_train.stages.embedding import train

HEIGHT, WIDTH = 480, 864


@dataclass(frozen=True)
class Variant:
    """A training: its name, what differs from the recipe, and whether things are cut out by pseudo-masks."""

    name: str
    recipe: Callable[[TrainConfig], TrainConfig]
    masked: bool = False


TRAININGS = (
    Variant("dense", lambda c: c),
    Variant("nt-xent, blobs", lambda c: replace(c, loss="nt-xent")),
    Variant("nt-xent, pseudo-masks", lambda c: replace(c, loss="nt-xent"), masked=True),
    Variant("both, blobs", lambda c: replace(c, loss="both")),
    Variant("both, pseudo-masks", lambda c: replace(c, loss="both"), masked=True),
)


def main() -> None:
    options = parse()
    print(f"python {shlex.join(sys.argv)}")
    print(f"{'':24} {'validation':>10} {'J':>6} {'F':>6} {'J&F':>6} {'to first':>8}")
    base: float | None = None
    for name, model in models(options):
        score = jf(name, model, options).mean()
        mean = (score.j + score.f) / 2
        base = mean if base is None else base
        validated = last_validation(options.out / slug(name))
        print(f"{name:24} {validated:>10} {score.j:6.3f} {score.f:6.3f} {mean:6.3f} {mean - base:+8.3f}", flush=True)


def parse() -> argparse.Namespace:
    parser = described(__doc__)
    parser.add_argument("stills", type=Path)
    parser.add_argument(
        "--masks", type=Path, help="folder of `shls pseudo`; without it the variants that need it are left out"
    )
    parser.add_argument("--out", type=Path, required=True, help="keeps trainings, models and scores")
    parser.add_argument("--root", type=Path, required=True, help="folder in the layout of DAVIS")
    parser.add_argument("--set", type=Path, required=True, help="text file that lists the sequences")
    parser.add_argument("--steps", type=at_least(1), default=600)
    parser.add_argument("--crop", type=at_least(1), default=192)
    parser.add_argument("--batch", type=at_least(1), default=12, help="pairs a step")
    parser.add_argument("--clips", type=at_least(0), default=4, help="clips a step")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="sequences at a time")
    return parser.parse_args()


def models(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    """Yield names and ONNX files, each made when it is asked for."""
    recipe = TrainConfig(steps=options.steps, crop=options.crop, batch=options.batch, clips=options.clips)
    for variant in TRAININGS:
        if variant.masked and options.masks is None:
            continue
        folder = options.out / slug(variant.name)
        masks = options.masks if variant.masked else None
        train(options.stills, folder, variant.recipe(recipe), tell(variant.name), masks)
        model = folder / "model.onnx"
        if not model.exists():
            export_onnx(folder, model, HEIGHT, WIDTH, clip_frames())
        yield variant.name, model


def tell(name: str) -> Callable[[Progress], None]:
    def report(at: Progress) -> None:
        if at.step % 50 == 0:
            print(f"{name}: step {at.step}, loss {at.loss:.3f}", file=sys.stderr, flush=True)

    return report


def jf(name: str, model: Path, options: argparse.Namespace) -> Report:
    opener = partial(open_segmenter, model, threads=1 if options.jobs > 1 else 0, refined=False)
    scores = options.out / slug(name) / "scores"
    return evaluate(options.root, options.set, opener, jobs=options.jobs, out=scores, key=result_key(model))


def last_validation(folder: Path) -> str:
    """J&F of the synthetic clips, where a training tells it."""
    path = folder / "validation.csv"
    return path.read_text().split()[-1].split(",")[-1] if path.exists() and path.read_text() else "-"


def clip_frames() -> list:  # type: ignore[type-arg]
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        return [frame.image for frame in islice(source, 2)]


def slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


if __name__ == "__main__":
    plainly(main)
