"""Mutated inputs through the readers: is each one read, or refused in one line?

Videos, images, masks, JSON files, descriptions of engines, ONNX metadata, URIs, set files and manifests are changed at
random places. A worker process reads each input within limits of time and memory. The same seed gives the same inputs.
The exit code is 1 if any input ended otherwise; those inputs are kept with their tracebacks.

    python benchmarks/fuzz.py --inputs 10000
"""

from __future__ import annotations

import json
import random
import selectors
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from _fuzz_inputs import make_seeds, mutate

from common import at_least, described, plainly

SECONDS, MEMORY = 10, 2 << 30
RESULTS = ("read", "refused", "traceback", "hang", "memory", "crash")
GOOD = ("read", "refused")


class Worker:
    """Process that reads inputs, started again after it died or hung."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, kind: str, path: Path) -> tuple[str, str]:
        """Return the result of one input and its message."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            answered = selector.select(SECONDS)
        line = process.stdout.readline() if answered else ""
        if not line:
            self.close()
            return ("crash", f"exit code {process.returncode}") if answered else ("hang", f"over {SECONDS} s")
        result, message, peak = json.loads(line)
        if peak > MEMORY:
            self.close()
            return "memory", f"{peak >> 20} MB resident"
        return result, message

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        """Start a process and wait until its imports are done."""
        command = [sys.executable, str(Path(__file__).with_name("_fuzz_worker.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        return self._process


def fuzz(inputs: int, seed: int, keep: Path) -> dict[str, Counter[str]]:
    """Read mutated inputs of all kinds in turn.

    Returns
    -------
    dict
        Counts of results by kind. Inputs that are neither read nor refused are kept in the folder `keep`.
    """
    counts: dict[str, Counter[str]] = {}
    worker = Worker()
    with tempfile.TemporaryDirectory(prefix="shls-fuzz-") as folder:
        here = Path(folder)
        seeds = make_seeds(here)
        try:
            worker.read("uri", here / "mask.png")  # the first answer waits for the imports
            for index in range(inputs):
                kind = list(seeds)[index % len(seeds)]
                ending, content = mutate(kind, seeds, random.Random(f"{seed} {index}"))
                path = here / f"input{ending}"
                path.write_bytes(content)
                result, message = worker.read(kind, path)
                counts.setdefault(kind, Counter())[result] += 1
                if result not in GOOD:
                    _keep(keep, f"{seed}-{index}-{result}{ending}", content, f"{kind}: {message}\n")
                path.unlink(missing_ok=True)
        finally:
            worker.close()
    return counts


def _keep(folder: Path, name: str, content: bytes, message: str) -> None:
    """Save an input and the message beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / f"{name}.txt").write_text(message, errors="replace")


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--inputs", type=at_least(1), default=10_000, help="number of inputs, default 10000")
    parser.add_argument("--seed", type=at_least(0), default=0, help="random seed of the mutations, default 0")
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder for inputs that fail, default fuzz")
    options = parser.parse_args()
    counts = fuzz(options.inputs, options.seed, options.keep)
    print(f"{'kind':<12}" + "".join(f"{result:>10}" for result in RESULTS))
    for kind, row in counts.items():
        print(f"{kind:<12}" + "".join(f"{row[result]:>10}" for result in RESULTS))
    failed = sum(row[result] for row in counts.values() for result in RESULTS if result not in GOOD)
    print(f"{sum(row.total() for row in counts.values())} inputs, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    plainly(main)
