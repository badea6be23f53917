"""IoU of masks from boxes and clicks in first frames, of the prompter network and of GrabCut.

    python benchmarks/prompts.py --root DAVIS --set single.txt multi.txt [--ecssd ECSSD] [--sheet SHEET.jpg]

The box is the bounding box of the truth. The first click is in the middle of the object, each further click in the
middle of the largest error. NoC@85 is the mean number of clicks until the IoU is 0.85, where --clicks counts as the
number of objects that never reach it. The time of a click is the median of all prompts after the first of an image,
whose features are known. The sheet shows the best and the worst masks from boxes: green is right, blue is missed, red
is wrong.

    python benchmarks/prompts.py --picture docs/prompts.jpg

draws a click, a click with corrections, and a box in the first frame of the shipped clip.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from common import at_least, described, judged_picture, new_picture, plainly, write_picture
from shls.runtime.backends.base import open_session
from shls.runtime.backends.pretrained import ASSETS, shipped_model
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.clicks import next_click
from shls.runtime.evaluation.davis import find_sequences, read_truth
from shls.runtime.evaluation.metrics import jaccard, object_ids
from shls.runtime.io.image_files import read_image, source_files
from shls.runtime.io.masks import read_mask
from shls.runtime.io.objects import NamedMask
from shls.runtime.io.sources import open_source
from shls.runtime.prompts.grab_cut import mask_from_prompt
from shls.runtime.prompts.network import open_solver
from shls.runtime.prompts.preview import draw_preview
from shls.runtime.prompts.prompt import Prompt, Solver

REACHED = 0.85
COUNTED = (1, 3, 5)
SHOWN = 12
WIDTH = 320


class Case(NamedTuple):
    """An object of an image: its name, (H, W, 3) uint8 RGB, and (H, W) bool."""

    name: str
    image: np.ndarray
    truth: np.ndarray


class Scores(NamedTuple):
    """IoU from a box, and after each click; seconds of each prompt; the mask from the box."""

    box: float
    clicks: list[float]
    seconds: list[float]
    mask: np.ndarray


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, help="folder in the layout of DAVIS")
    parser.add_argument("--set", type=Path, nargs="+", dest="names", default=[], help="files of sequence names")
    parser.add_argument("--ecssd", type=Path, help="folder with images/ and masks/ of single objects")
    parser.add_argument("--every", type=at_least(1), default=1, help="use every n-th object")
    parser.add_argument("--clicks", type=at_least(5), default=10, help="most clicks on an object")
    parser.add_argument("--model", type=Path, help="embedding; the shipped one by default")
    parser.add_argument("--prompter", type=Path, help="the shipped one by default")
    parser.add_argument("--solver", choices=["network", "grabcut", "both"], default="both")
    parser.add_argument("--sheet", type=new_picture, help="picture of the best and the worst masks from boxes")
    parser.add_argument("--picture", type=new_picture, help="picture of three prompts in the shipped clip")
    options = parser.parse_args()
    cases = {"ECSSD": list(ecssd(options.ecssd))[:: options.every]} if options.ecssd else {}
    if options.names and not options.root:
        raise BadInput("--set: needs --root, the folder of the sequences")
    for names in options.names:
        cases[names.stem] = list(first_frames(options.root, names))[:: options.every]
    if not cases and not options.picture:
        raise BadInput("nothing to measure; give --root with --set, or --ecssd")
    solvers: dict[str, Solver] = {}
    if options.solver != "grabcut":
        solvers["network"] = open_solver(
            open_session(options.model or shipped_model("cpu"), device="cpu"), options.prompter, device="cpu"
        )
    if options.solver != "network":
        solvers["GrabCut"] = mask_from_prompt
    if options.picture:
        draw(options.picture, next(iter(solvers.values())))
    if not cases:
        return
    print(f"{'set':10} {'solver':8} objects    box  1 click 3 clicks 5 clicks  NoC@85  ms a click")
    for name, objects in cases.items():
        for solver, solve in solvers.items():
            found = [score(case, solve, options.clicks) for case in objects]
            print(row(name, solver, found, options.clicks), flush=True)
            if options.sheet and solver == next(iter(solvers)):
                path = options.sheet.with_stem(f"{options.sheet.stem}-{name}")
                write_picture(path, sheet(objects, found))


def draw(path: Path, solve: Solver) -> None:
    """Draw a click, the click with two corrections, and a box."""
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        image = next(iter(source)).image
    truth = read_mask(ASSETS / "bunny_mask.png", (image.shape[0], image.shape[1])) > 0
    x, y, w, h = cv2.boundingRect(truth.astype(np.uint8))
    click = corrected(Prompt(), truth, np.zeros_like(truth))
    better = corrected(click, truth, solve(image, click))
    better = corrected(better, truth, solve(image, better))
    tiles = []
    for prompt in (click, better, Prompt(boxes=((x, y, w, h),))):
        found = solve(image, prompt)
        print(f"{jaccard(found, truth):.3f} {prompt}")
        drawn = draw_preview(image, NamedMask(found.astype(np.uint8)), [prompt])
        tiles.append(cv2.resize(drawn, (WIDTH, WIDTH * image.shape[0] // image.shape[1]), interpolation=cv2.INTER_AREA))
    write_picture(path, np.hstack(tiles))


def corrected(prompt: Prompt, truth: np.ndarray, found: np.ndarray) -> Prompt:
    """Add the next click to a prompt; the same prompt if there is no error."""
    click = next_click(truth, found)
    if click is None:
        return prompt
    point, positive = click
    if positive:
        return Prompt(None, (), (*prompt.points, point), prompt.negative_points)
    return Prompt(None, (), prompt.points, (*prompt.negative_points, point))


def first_frames(root: Path, names: Path) -> Iterator[Case]:
    """Read the objects of the first frames of a set's sequences."""
    for sequence in find_sequences(root, names):
        first = min(sequence.truths)
        image = read_image(sequence.files[first])
        truth = read_truth(sequence.truths[first], (image.shape[0], image.shape[1]))
        for k in object_ids(truth):
            yield Case(f"{sequence.name} {k}", image, truth == k)


def ecssd(folder: Path) -> Iterator[Case]:
    """Read images with the mask of one object each."""
    for path in source_files(str(folder / "images")):
        mask = cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise BadInput(f"{folder}: no mask of {path.name} (expected masks/{path.stem}.png)")
        yield Case(path.stem, read_image(path), mask > 127)


def score(case: Case, solve: Solver, most: int) -> Scores:
    """Measure a solver on an object; after five clicks, only until the IoU is reached."""
    x, y, w, h = cv2.boundingRect(case.truth.astype(np.uint8))
    box = solve(case.image, Prompt(boxes=((x, y, w, h),)))
    prompt, found = Prompt(), np.zeros_like(case.truth)
    ious: list[float] = []
    seconds = []
    while len(ious) < most and (len(ious) < max(COUNTED) or max(ious) < REACHED):
        if (found == case.truth).all():
            ious += [1.0] * (max(COUNTED) - len(ious))
            break
        prompt = corrected(prompt, case.truth, found)
        begun = time.perf_counter()
        found = solve(case.image, prompt)
        seconds.append(time.perf_counter() - begun)
        ious.append(jaccard(found, case.truth))
    return Scores(jaccard(box, case.truth), ious, seconds, box)


def row(name: str, solver: str, found: list[Scores], most: int) -> str:
    """Describe the scores of a set in one line."""
    after = [np.mean([one.clicks[count - 1] for one in found]) for count in COUNTED]
    needed = [next((n for n, iou in enumerate(one.clicks, 1) if iou >= REACHED), most) for one in found]
    seconds = np.median([second for one in found for second in one.seconds])
    columns = f"{np.mean([one.box for one in found]):6.3f} " + " ".join(f"{iou:8.3f}" for iou in after)
    return f"{name:10} {solver:8} {len(found):7} {columns} {np.mean(needed):7.2f} {1000 * seconds:11.0f}"


def sheet(cases: list[Case], found: list[Scores]) -> np.ndarray:
    """Draw the worst masks from boxes, then the best, four in a row, (h, w, 3) uint8."""
    order = np.argsort([one.box for one in found]).tolist()
    chosen = order if len(order) <= 2 * SHOWN else order[:SHOWN] + order[-SHOWN:]
    tiles = []
    for at in chosen:
        case, text = cases[at], f"{cases[at].name}  {found[at].box:.2f}"
        tile = judged_picture(case.image, found[at].mask.astype(np.uint8), case.truth.astype(np.uint8), text, WIDTH)
        tiles.append(cv2.resize(tile, (WIDTH, WIDTH * 9 // 16), interpolation=cv2.INTER_AREA))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    return np.vstack([np.hstack(tiles[at : at + 4]) for at in range(0, len(tiles), 4)])


if __name__ == "__main__":
    plainly(main)
