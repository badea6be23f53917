"""Cost and quality of each precision: file size, time of the embedding relative to fp32, J&F.

    python benchmarks/precision.py --root DAVIS --set SEQUENCES.txt [shls-edge.onnx shls-edge.fp16.onnx ...]

J&F is that of the pair: each embedding with the refiner of its precision, as `shls bench` pairs them. By default the
shipped ones; one must be fp32.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from common import at_least, described, plainly
from shls.runtime.backends.base import Session, open_session
from shls.runtime.diagnostics.model_bench import REFERENCE, Pair, find_models, pair_up
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.davis import find_sequences
from shls.runtime.evaluation.evaluate import evaluate
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.sources import open_source
from shls.runtime.models.onnx_reader import read_contract, read_refiner_contract
from shls.runtime.segmenter import open_segmenter


def main() -> None:
    options = parse()
    print(f"python {shlex.join(sys.argv)}")
    pairs = {read_contract(pair.model).precision: pair for pair in pair_up(find_models(options.models))}
    if REFERENCE not in pairs:
        raise BadInput(f"none of the models is {REFERENCE}, which the others are compared with; add one")
    times = network_times({name: pair.model for name, pair in pairs.items()}, options)
    scores = {name: jf(pair, options) for name, pair in pairs.items()}
    print(f"{'':14} {'refiner':14} {'MB':>6} {'of fp32':>8} {'ms':>8} {'speed-up':>9} {'J&F':>8} {'to fp32':>8}")
    for name, pair in pairs.items():
        size, whole = pair.model.stat().st_size, pairs[REFERENCE].model.stat().st_size
        refiner = "-" if pair.refiner is None else read_refiner_contract(pair.refiner).precision
        print(
            f"{name:14} {refiner:14} {size / 1e6:6.2f} {size / whole:8.1%} {times[name]:8.1f} "
            f"{times[REFERENCE] / times[name]:8.2f}x {scores[name]:8.4f} {scores[name] - scores[REFERENCE]:+8.4f}"
        )


def parse() -> argparse.Namespace:
    parser = described(__doc__)
    parser.add_argument("models", type=Path, nargs="*", help="ONNX files, or folders of them")
    parser.add_argument("--root", type=Path, required=True, help="folder in the layout of DAVIS")
    parser.add_argument("--set", type=Path, required=True, help="text file that lists the sequences")
    parser.add_argument("--threads", type=at_least(0), default=0, help="of the network, 0 for all cores")
    parser.add_argument("--runs", type=at_least(1), default=30, help="timed runs of each network")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="sequences at a time")
    return parser.parse_args()


def network_times(models: dict[str, Path], options: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds of the network alone; in turn, so that what else the machine does hits all alike."""
    sessions = {name: open_session(path, options.threads, "cpu") for name, path in models.items()}
    tensor = first_input(sessions[REFERENCE], options)
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for run in range(options.runs + 2):
        for name, session in sessions.items():
            begun = time.perf_counter()
            session.run(tensor)
            if run >= 2:  # the first ones allocate
                seconds[name].append(time.perf_counter() - begun)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def first_input(session: Session, options: argparse.Namespace) -> np.ndarray:
    sequence = find_sequences(options.root, options.set)[0]
    with open_source(str(sequence.images)) as source:
        return to_input(next(source).image, session.contract)


def jf(pair: Pair, options: argparse.Namespace) -> float:
    refined = pair.refiner is not None
    opener = partial(
        open_segmenter, pair.model, threads=options.threads, device="cpu", refiner=pair.refiner, refined=refined
    )
    mean = evaluate(options.root, options.set, opener, jobs=options.jobs).mean()
    return (mean.j + mean.f) / 2


if __name__ == "__main__":
    plainly(main)
