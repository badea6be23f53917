"""Sink that writes another tool's format while a run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import BadInput
from ..io.base import Sink
from ..io.json_sink import line_of
from ..io.objects import ObjectTable
from ..types import Frame, Mask
from .convert import FORMATS, check_new, convert
from .results import JsonResults


class ExportSink(Sink):
    """Collect results in a hidden file, and convert them to a format at the end.

    Parameters
    ----------
    to : name of a format, a key of `FORMATS`
    out : folder to make
    name : name of the video
    objects : names of the objects

    Raises
    ------
    BadInput
        If the format is unknown, or the folder exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> frame, mask = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "00000"), Mask(np.ones((2, 3), np.uint8), {1: 0.9})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ExportSink("mots", Path(folder) / "mots", "clip") as sink:
    ...         sink.write(frame, mask)
    ...     (Path(folder) / "mots" / "clip.txt").read_text()
    '0 1001 1 2 3 06\\n'
    """

    def __init__(self, to: str, out: Path, name: str, objects: ObjectTable | None = None) -> None:
        if to not in FORMATS:
            raise BadInput(f"{to}: unknown format (expected one of {', '.join(FORMATS)}). Correct the name")
        check_new(out)
        self._to, self._out, self._name, self._objects = to, out, name, objects
        self._spool = out.with_name(f".{out.name}.jsonl")
        self._file: BinaryIO | None = None
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._spool.open("wb")
        except OSError as error:
            raise BadInput(f"{out}: cannot be written ({error.strerror}). Choose another place") from error

    def write(self, frame: Frame, mask: Mask) -> None:
        if self._file is None:
            return
        line = line_of(frame, mask, self._objects) | {"name": frame.name}
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise BadInput(f"{self._out}: cannot be written ({error.strerror}). Choose another place") from error

    def close(self) -> None:
        if self._file is None:
            return
        try:
            begun = self._file.tell() > 0
            self._file.close()
            if begun:
                convert([JsonResults(self._name, self._spool)], self._to, self._out)
        finally:
            self._file = None
            with suppress(OSError):
                self._spool.unlink(missing_ok=True)


def parse_exports(texts: Iterable[str]) -> list[tuple[str, Path]]:
    """Read options `FORMAT=FOLDER`.

    Raises
    ------
    BadInput
        If a text is anything else, or two exports have one folder.

    Examples
    --------
    >>> parse_exports(["coco=annotations"])
    [('coco', PosixPath('annotations'))]
    """
    found = []
    for text in texts:
        to, sign, folder = text.partition("=")
        if to not in FORMATS or not sign or not folder:
            raise BadInput(
                f"--export {text}: not FORMAT=FOLDER (expected a folder, and one of the formats {', '.join(FORMATS)}). "
                "Correct the option"
            )
        check_new(Path(folder))
        found.append((to, Path(folder)))
    if len({folder.resolve() for _, folder in found}) < len(found):
        raise BadInput("--export: two formats have one folder (expected a folder for each). Rename one of them")
    return found
