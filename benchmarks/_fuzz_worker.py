"""Worker of `fuzz.py`: read one input per line of standard input and answer with a line of JSON.

    python benchmarks/_fuzz_worker.py

Each line is a JSON list: kind and path. The answer has the result (`read`, `refused`, `traceback`, `memory`), the
message, and the largest resident memory in bytes.
"""

from __future__ import annotations

import io
import json
import logging
import os
import resource
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from shls.runtime.batch.manifest import read_rows
from shls.runtime.errors import ShlsError
from shls.runtime.evaluation.davis import find_sequences
from shls.runtime.formats.results import read_results
from shls.runtime.io.image_files import read_image
from shls.runtime.io.masks import read_objects
from shls.runtime.io.sources import open_source
from shls.runtime.io.uris import check_scheme, is_live, parse_camera, parse_file, parse_stream, redact
from shls.runtime.models.engine_info import read_sidecar
from shls.runtime.models.onnx_reader import read_any_contract
from shls.runtime.prompts.prompt import parse_box, parse_object, parse_point
from shls.runtime.prompts.timeline import read_prompts

MEMORY = 2 << 30
SIZE = (64, 96)
MOST_FRAMES = 100


def main() -> None:
    """Answer each line of standard input with a line of JSON."""
    logging.disable(logging.CRITICAL)
    cv2.setNumThreads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        kind, path = json.loads(line)
        print(json.dumps([*_result(READERS[kind], Path(path)), _peak()]), file=answers, flush=True)


def _result(read: Callable[[Path], Any], path: Path) -> tuple[str, str]:
    """Read an input and name the result."""
    try:
        read(path)
    except ShlsError as error:
        return ("traceback", f"a message of several lines: {error}") if "\n" in str(error) else ("refused", str(error))
    except MemoryError:
        return "memory", traceback.format_exc()
    except Exception:  # any other exception is what is searched for
        return "traceback", traceback.format_exc()
    return "read", ""


def _peak() -> int:
    """Return the largest resident memory of this process, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _read_video(path: Path) -> None:
    with open_source(path) as source:
        deque(islice(source, MOST_FRAMES), maxlen=0)


def _read_mask_json(path: Path) -> None:
    with suppress(ShlsError):
        read_results(path)
    read_objects(path, SIZE)


def _read_uri(path: Path) -> None:
    uri = path.read_bytes().decode("utf-8", "surrogateescape")
    redact(uri)
    is_live(uri)
    for read in (parse_camera, parse_stream, parse_file, parse_box, parse_point, parse_object):
        with suppress(ShlsError):
            read(uri)
    check_scheme(uri)


READERS: dict[str, Callable[[Path], Any]] = {
    "video": _read_video,
    "image": read_image,
    "mask": lambda path: read_objects(path, SIZE),
    "mask json": _read_mask_json,
    "prompts": lambda path: read_prompts(path, size=SIZE),
    "sidecar": lambda path: read_sidecar(path.with_suffix("")),
    "onnx": read_any_contract,
    "uri": _read_uri,
    "set file": lambda path: find_sequences(path.parent, path),
    "manifest": lambda path: read_rows([str(path)], io.StringIO()),
}

if __name__ == "__main__":
    main()
