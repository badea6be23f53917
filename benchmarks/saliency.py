"""Quality of pseudo-masks against human masks of the salient object: each cue alone, fused, and refined.

    python benchmarks/saliency.py --root ECSSD [--network masks/network] [--embedding edge.onnx] [--sheet WORST.jpg]

ECSSD is a folder with images/NAME.jpg and masks/NAME.png (white is the object); the network is what `shls pseudo STILLS
--out masks/` trained on the stills, "network alone" is its map before it joins the cues. With an embedding, "likeness"
is the cue that ranks by it, and masks are fused and refined without and with it. Columns: max F-measure (beta^2 = 0.3;
256 thresholds, precision and recall averaged over the images at each), mean absolute error, mean intersection over
union at the fixed threshold 0.5, median milliseconds per image on one thread. The last lines say what the confidence is
worth: mean IoU of the images in four parts, from the least to the most confident, and its rank correlation with IoU.
The sheet shows the masks of the last row's way that come out badly, 24 of the worse half, evenly: green is right, blue
is missed, red is wrong. Pictures of a data set are under its terms: it is for looking, not for this repository.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numba
import numpy as np

from common import described, judged_picture, new_picture, plainly, write_picture
from shls.runtime.backends.base import open_session
from shls.runtime.errors import BadInput
from shls.runtime.io.image_files import read_image
from shls_train.pseudo_labels.cues import CUES, rank, spreading
from shls_train.pseudo_labels.fusion import Describe, Saliency, describer, distances, find_object
from shls_train.pseudo_labels.graph import build_graph, to_lab

BETA2 = 0.3
TILE = 240  # pixels of the sheet's pictures

Finders = dict[str, Callable[[np.ndarray], Saliency]]
Trusted = dict[str, list[float]]


class Score:
    """Sums over images of what the table shows."""

    def __init__(self) -> None:
        self.precision, self.recall = np.zeros(256), np.zeros(256)
        self.mae: list[float] = []
        self.iou: list[float] = []
        self.seconds: list[float] = []

    def add(self, mask: np.ndarray, truth: np.ndarray, seconds: float) -> None:
        """Compare (H, W) uint8 with (H, W) bool."""
        hits = np.bincount(mask[truth], minlength=256)[::-1].cumsum()  # at thresholds 255, 254 .. 0
        marked = np.bincount(mask.ravel(), minlength=256)[::-1].cumsum()
        self.precision += hits / np.maximum(marked, 1)
        self.recall += hits / max(1, truth.sum())
        self.mae.append(float(np.abs(mask / 255 - truth).mean()))
        found = mask > 127
        self.iou.append(float((found & truth).sum() / max(1, (found | truth).sum())))
        self.seconds.append(seconds)

    def row(self) -> str:
        precision, recall = self.precision / len(self.iou), self.recall / len(self.iou)
        f = (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-9)
        ms = 1e3 * float(np.median(self.seconds))
        return f"{f.max():9.3f}{np.mean(self.mae):9.3f}{np.mean(self.iou):9.3f}{ms:9.1f}"


Scores = dict[str, Score]


def to_byte(mask: np.ndarray) -> np.ndarray:
    return np.rint(255 * mask).astype(np.uint8)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def measure_cues(image: np.ndarray, truth: np.ndarray, describe: Describe | None, scores: Scores) -> None:
    start = time.perf_counter()
    lab = to_lab(image)
    graph = build_graph(image, lab)
    shared = time.perf_counter() - start
    for name, cue in CUES.items():
        start = time.perf_counter()
        mask = graph.paint(cue(graph, lab))
        scores[name].add(to_byte(mask), truth, time.perf_counter() - start + shared)
    if describe:
        start = time.perf_counter()
        mask = graph.paint(rank(graph, spreading(graph, distances(describe(image, graph.superpixels)))))
        scores["likeness"].add(to_byte(mask), truth, time.perf_counter() - start + shared)


def measure_masks(image: np.ndarray, truth: np.ndarray, finders: Finders, scores: Scores, trusted: Trusted) -> None:
    for name, find in finders.items():
        start = time.perf_counter()
        found = find(image)
        scores[name].add(found.mask, truth, time.perf_counter() - start)
        trusted[name].append(found.confidence)


def refiners(run: Path, describe: Describe | None) -> Finders:
    """Ways to find objects with a trained network."""
    import torch

    from shls_train.models.saliency_net import predict
    from shls_train.pseudo_labels.training import load_network

    torch.set_num_threads(1)
    network = load_network(run)

    def alone(image: np.ndarray) -> Saliency:
        found = cv2.resize(predict(network, image), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return Saliency(to_byte(found), 0.0)

    finders: Finders = {"network alone": alone, "refined": partial(find_object, learned=partial(predict, network))}
    if describe:
        finders["refined with it"] = partial(finders["refined"], describe=describe)
    return finders


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--network", type=Path, help="folder of the trained network")
    parser.add_argument("--embedding", type=Path, help="ONNX model")
    parser.add_argument("--sheet", type=new_picture, help="picture of masks that come out badly")
    options = parser.parse_args()
    numba.set_num_threads(1)
    cv2.setNumThreads(1)
    files = sorted((options.root / "images").glob("*.jpg"))
    if len(files) < 4:
        raise BadInput(f"{options.root / 'images'}: {len(files)} images; expected at least 4, NAME.jpg")
    finders: Finders = {"fused": find_object}
    describe = describer(open_session(options.embedding, 1, "cpu")) if options.embedding else None
    if describe:
        finders["fused with it"] = partial(find_object, describe=describe)
    if options.network:
        finders |= refiners(options.network, describe)
    scores: Scores = defaultdict(Score)
    trusted: Trusted = defaultdict(list)
    for file in files:
        image, truth = read_pair(options.root, file)
        measure_cues(image, truth, describe, scores)
        measure_masks(image, truth, finders, scores, trusted)
    print(f"{len(files)} images, one thread")
    print(f"{'':16}{'max F':>9}{'MAE':>9}{'IoU':>9}{'ms':>9}")
    for name, score in scores.items():
        print(f"{name:16}{score.row()}")
    for name in (name for name in finders if name != "network alone"):
        confidences = trusted[name]
        worth, iou = np.array(confidences), np.array(scores[name].iou)
        parts = " ".join(f"{iou[part].mean():.3f}" for part in np.array_split(np.argsort(worth), 4))
        print(f"confidence of {name}: IoU {parts}, rank correlation {rank_correlation(worth, iou):.2f}")
    if options.sheet:
        name, find = list(finders.items())[-1]
        write_picture(options.sheet, sheet(options.root, files, find, scores[name].iou))


def read_pair(root: Path, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image, (H, W, 3) uint8, and what is its object, (H, W) bool."""
    return read_image(file), read_image(root / "masks" / f"{file.stem}.png")[..., 0] > 127


def sheet(root: Path, files: list[Path], find: Callable[[np.ndarray], Saliency], iou: list[float]) -> np.ndarray:
    """Four rows of six pictures, from the worst on."""
    order = np.argsort(iou)
    pictures = []
    for at in order[np.linspace(0, len(iou) // 2, 24).astype(int)]:
        image, truth = read_pair(root, files[at])
        picture = judged_picture(image, find(image).mask > 127, truth, f"{files[at].stem}  IoU {iou[at]:.2f}", TILE)
        tile = np.zeros((TILE, TILE, 3), np.uint8)
        tile[: len(picture)] = picture[:TILE]
        pictures.append(tile)
    return np.vstack([np.hstack(pictures[i : i + 6]) for i in range(0, 24, 6)])


if __name__ == "__main__":
    plainly(main)
