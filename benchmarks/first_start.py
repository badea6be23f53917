"""Time of the first start: compilation of all kernels into an empty cache, then what a run still compiles.

python benchmarks/first_start.py            # in parallel processes, as a first start does
python benchmarks/first_start.py --kernels  # in this process, with the seconds of each kernel
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

RUN = """
import sys
import numba.core.event
from shls.runtime.io.synthetic import SyntheticSource
from shls.runtime.segmenter import open_segmenter
found = numba.core.event.RecordingListener()
numba.core.event.register("numba:compile", found)
frames = [frame.image for frame in SyntheticSource(4, (240, 432))]
segmenter = open_segmenter(device="cpu")
mask = (frames[0][..., 0] > frames[0][..., 0].mean()).astype("uint8")
segmenter.start(frames[0], mask)
for frame in frames[1:]:
    segmenter.step(frame)
names = [event.data["dispatcher"].py_func.__qualname__ for _, event in found.buffer if event.is_start]
print(len(names), *names)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", action="store_true", help="list the kernels with their seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        if options.kernels:
            list_kernels()
            return
        from shls.runtime.compilation import PARTS, compile_kernels

        wall = compile_kernels(lambda done, _: print(f"{done} of {len(PARTS)} parts", flush=True))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"compilation {wall:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time", flush=True)
        begun = time.perf_counter()
        ran = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout
        print(f"a run of four frames {time.perf_counter() - begun:.1f} s, compiled in it: {ran.strip()}")


def list_kernels() -> None:
    """Compile all parts here and print each kernel's own seconds of processor time, without those that it calls."""
    from numba.core import event

    rows: dict[str, tuple[float, int]] = {}

    class Listener(event.Listener):  # type: ignore[misc]
        def __init__(self) -> None:
            self.begun: list[list[float]] = []

        def on_start(self, _: Any) -> None:
            self.begun.append([time.process_time(), 0.0])

        def on_end(self, found: Any) -> None:
            begun, inner = self.begun.pop()
            spent = time.process_time() - begun
            if self.begun:
                self.begun[-1][1] += spent
            function = found.data["dispatcher"].py_func
            name = f"{function.__module__.removeprefix('shls.runtime.')}.{function.__qualname__}"
            seconds, count = rows.get(name, (0.0, 0))
            rows[name] = seconds + spent - inner, count + 1

    from shls.runtime.compilation import PARTS

    event.register("numba:compile", Listener())
    for name, part in PARTS.items():
        begun, before = time.process_time(), sum(count for _, count in rows.values())
        part()
        compiled = sum(count for _, count in rows.values()) - before
        print(f"part {name:<12} {time.process_time() - begun:6.2f} s, {compiled} compiled")
    for name, (seconds, count) in sorted(rows.items(), key=lambda row: -row[1][0]):
        print(f"{seconds:6.2f} s {count:3} {name}")
    print(f"{sum(seconds for seconds, _ in rows.values()):6.2f} s in all")


if __name__ == "__main__":
    main()
