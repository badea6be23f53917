"""Quality and time of superpixels, side by side with scikit-image and OpenCV.

    python benchmarks/superpixels.py --root DAVIS_FOLDER --set FILE [--frames K] [--counts N ...] [--json FILE]

Per method, at each wanted number N, over K frames of each sequence (means unless said otherwise):

asa     achievable segmentation accuracy: IoU of the foreground when each superpixel takes its best label
recall  ratio of the mask's boundary pixels within 2 pixels of a superpixel's boundary
under   under-segmentation error, per cent of the frame: smaller side of superpixels that straddle the mask
compact compactness: 4 pi area / perimeter^2, weighted by area (1 is a disc)
regions per frame, as counted
flow    temporal consistency: share of pixels whose label, carried by dense flow (DIS), is the one found;
        for methods that number each frame afresh, labels are first matched one to one by largest overlap
one all median milliseconds on one thread and on all
ratio   scikit-image's median time over the method's, on all threads, all methods in turn on each frame

OpenCV's SEEDS, SLICO and LSC need opencv-contrib-python, in an environment of its own: it clashes with
opencv-python.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import cv2
import numba
import numpy as np
from skimage.segmentation import slic as skimage_slic

from common import at_least, described, new_file, plainly
from shls.runtime._support.files import write_json
from shls.runtime.evaluation.davis import SequenceFiles, find_sequences, read_truth
from shls.runtime.io.image_files import read_image, source_files
from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.isec import isec
from shls.runtime.superpixels.slic import SuperpixelTracker

Clip = list[tuple[np.ndarray, np.ndarray]]
Method = Callable[[np.ndarray], np.ndarray]
COLUMNS = ("asa", "recall", "under", "compact", "regions", "flow", "one", "all", "ratio")


def read_clip(sequence: SequenceFiles, frames: int) -> Clip:
    """Consecutive frames (RGB) and foreground masks from the middle of a sequence."""
    annotated = sorted(sequence.truths)
    first = max(0, (len(annotated) - frames) // 2)
    files = source_files(str(sequence.images))
    clip = []
    for at in annotated[first : first + frames]:
        image = read_image(files[at])
        clip.append((image, read_truth(sequence.truths[at], image.shape[:2]) > 0))
    return clip


def boundary(labels: np.ndarray) -> np.ndarray:
    edge = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def quality(labels: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    flat = labels.ravel()
    area = np.bincount(flat)
    inside = np.bincount(flat, mask.ravel(), len(area))
    best = (2 * inside > area)[labels]
    edge = boundary(labels)
    near = cv2.dilate(edge.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    perimeter = np.bincount(flat, minlength=len(area)) * 0.0
    padded = np.pad(labels, 1, constant_values=-1)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        other = padded[dy : dy + labels.shape[0], dx : dx + labels.shape[1]]
        perimeter += np.bincount(flat, (other != labels).ravel(), len(area))
    drawn = boundary(mask)
    present = area > 0
    roundness = 4 * np.pi * area[present] / np.maximum(perimeter[present], 1) ** 2
    return {
        "asa": float((best & mask).sum() / max(1, (best | mask).sum())),
        "recall": float((near & drawn).sum() / max(1, drawn.sum())),
        "under": float(100 * np.minimum(inside, area - inside).sum() / mask.size),
        "compact": float((roundness * area[present]).sum() / area.sum()),
        "regions": float(present.sum()),
    }


def consistency(before: np.ndarray, after: np.ndarray, flow: np.ndarray, numbered: bool) -> float:
    """Agreement of labels carried backwards along the flow from a frame to the one before it."""
    height, width = before.shape
    y, x = np.mgrid[:height, :width]
    to_x, to_y = np.rint(x + flow[..., 0]).astype(int), np.rint(y + flow[..., 1]).astype(int)
    seen = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
    carried, found = before[to_y[seen], to_x[seen]], after[seen]
    if not numbered:
        most = int(max(before.max(), after.max())) + 1
        pairs, votes = np.unique(found.astype(np.int64) * most + carried, return_counts=True)
        name, taken = np.full(most, -1), np.zeros(most, bool)
        for pair in pairs[np.argsort(-votes)]:
            new, old = divmod(int(pair), most)
            if name[new] < 0 and not taken[old]:
                name[new], taken[old] = old, True
        found = name[found]
    return float((carried == found).mean())


def methods(count: int) -> dict[str, tuple[Method, bool]]:
    """Name -> (labels of an image, whether labels keep their numbers)."""
    tracker = SuperpixelTracker(SuperpixelSettings(count))
    fresh = SuperpixelTracker(SuperpixelSettings(count))

    def cold(image: np.ndarray) -> np.ndarray:
        fresh.restart()
        return fresh.step(image).labels

    found: dict[str, tuple[Method, bool]] = {
        "ours, cold": (cold, False),
        "ours, warm": (lambda image: tracker.step(image).labels, True),
        "ISEC": (lambda image: isec(image, SuperpixelSettings(count)).labels, False),
    }
    for compactness in (10, 20):
        found[f"scikit-image SLIC, {compactness}"] = (
            lambda image, c=compactness: skimage_slic(image, count, compactness=c, start_label=0),
            False,
        )
    if hasattr(cv2, "ximgproc"):
        side = max(2, round((854 * 480 / count) ** 0.5))
        found["OpenCV SEEDS"] = (lambda image: seeds(image, count), False)
        for name, code in (("SLICO", cv2.ximgproc.SLICO), ("LSC", None)):
            found[f"OpenCV {name}"] = (lambda image, c=code: iterated(image, side, c), False)
    return found


def seeds(image: np.ndarray, count: int) -> np.ndarray:
    height, width = image.shape[:2]
    made = cv2.ximgproc.createSuperpixelSEEDS(width, height, 3, count, 4)
    made.iterate(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), 4)
    return made.getLabels()


def iterated(image: np.ndarray, side: int, code: int | None) -> np.ndarray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    if code is None:
        made = cv2.ximgproc.createSuperpixelLSC(lab, side)
    else:
        made = cv2.ximgproc.createSuperpixelSLIC(lab, code, side)
    made.iterate(10)
    made.enforceLabelConnectivity()
    return made.getLabels()


def set_threads(n: int) -> None:
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    cv2.setNumThreads(n)


def timed(method: Method, image: np.ndarray) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    labels = method(image)
    return labels, 1e3 * (time.perf_counter() - start)


def measure(clips: list[Clip], flows: list[list[np.ndarray]], count: int) -> dict[str, dict[str, float]]:
    """All methods at one N, frame by frame in turn, so that a busy machine disturbs them alike."""
    cores = os.cpu_count() or 1
    several, single = methods(count), methods(count)
    rows: dict[str, dict[str, list[float]]] = {name: {c: [] for c in COLUMNS} for name in several}
    for method, _ in several.values():  # compile
        method(clips[0][0][0])
        method(clips[0][0][0])
    for clip, flow in zip(clips, flows, strict=True):
        last: dict[str, np.ndarray] = {}
        for t, (image, mask) in enumerate(clip):
            for name, (method, numbered) in several.items():
                set_threads(cores)
                labels, ms = timed(method, image)
                set_threads(1)
                _, ms_one = timed(single[name][0], image)
                if name == "ours, warm" and t == 0:  # a cut: a cold start
                    last[name] = labels
                    continue
                row = rows[name]
                for key, value in quality(labels, mask).items():
                    row[key].append(value)
                row["all"].append(ms)
                row["one"].append(ms_one)
                if t > 0:
                    row["flow"].append(consistency(last[name], labels, flow[t - 1], numbered))
                last[name] = labels
    peer = np.median(rows["scikit-image SLIC, 10"]["all"])
    for row in rows.values():
        row["ratio"] = [float(peer / np.median(row["all"]))]
    set_threads(cores)
    return {
        name: {c: float((np.median if c in ("one", "all") else np.mean)(row[c])) for c in COLUMNS}
        for name, row in rows.items()
    }


def backward_flows(clip: Clip) -> list[np.ndarray]:
    """Flow from each frame to the one before."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image, _ in clip]
    return [dis.calc(b, a, None) for a, b in itertools.pairwise(grey)]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder in the layout of DAVIS")
    parser.add_argument("--set", type=Path, required=True, help="file with one sequence name a line")
    parser.add_argument("--frames", type=at_least(2), default=4, help="consecutive frames of each sequence, at least 2")
    parser.add_argument("--counts", type=at_least(1), nargs="+", default=[500, 1000, 1500, 2000])
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    clips = [read_clip(one, options.frames) for one in find_sequences(options.root, options.set)]
    flows = [backward_flows(clip) for clip in clips]
    if not hasattr(cv2, "ximgproc"):
        print("OpenCV SEEDS, SLICO, LSC: missing here (opencv-contrib-python is not installed)")
    print(f"{sum(map(len, clips))} frames, {os.cpu_count()} cores")
    print(f"{'N':>5} {'method':22}" + "".join(f"{c:>9}" for c in COLUMNS), flush=True)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for count in options.counts:
        table[str(count)] = measure(clips, flows, count)
        for name, row in table[str(count)].items():
            cells = (
                f"{row[c]:9.3f}" if c in ("asa", "recall", "under", "compact", "flow") else f"{row[c]:9.1f}"
                for c in COLUMNS
            )
            print(f"{count:>5} {name:22}" + "".join(cells), flush=True)
    if options.json:
        write_json(options.json, table)


if __name__ == "__main__":
    plainly(main)
