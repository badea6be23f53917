"""Rows of a batch: from a manifest, a folder, a glob pattern, or a list of names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ..errors import BadInput
from ..prompts.prompt import Prompt, parse_box, parse_object, parse_point
from .discover import expand, find_marks, output_of
from .remote import is_remote
from .tasks import Row

MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
"""Suffixes of manifests; `.txt` is a list with one video per line."""
MOST_DIGITS = 18
"""Digits of the largest number of a frame."""

COLUMNS = ("video", "output", "mask", "prompts", "box", "point", "object", "start")
"""Columns that the batch reads; all others are passed through."""


def read_rows(inputs: Iterable[str], stdin: TextIO, default: Row | None = None) -> list[Row]:
    """Read the rows of a batch.

    Parameters
    ----------
    inputs : names, each one of these

        - `.csv`, `.tsv`, `.jsonl`: a manifest with the columns of `COLUMNS`; relative names are relative to it;
        - `.txt`, or `-` for standard input: one video per line;
        - a folder of videos, or a glob pattern, also of a file system of fsspec;
        - a video.

    stdin : where `-` is read from
    default : its marks are used for rows without own marks

    Returns
    -------
    list of Row
        A video of a folder, list or pattern takes its marks from a file beside it: see `find_marks`.

    Raises
    ------
    BadInput
        If a manifest cannot be read, there is no video, or two rows have one output.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "list.csv"
    ...     _ = path.write_text('video,box,camera\\na.mp4,"1,2,30,40",north\\n')
    ...     row = read_rows([str(path)], io.StringIO())[0]
    >>> row.output, row.prompts[0].boxes, row.columns
    ('a', ((1.0, 2.0, 30.0, 40.0),), {'camera': 'north'})
    """
    rows: list[Row] = []
    for name in inputs:
        path = Path(name)
        if name == "-":
            rows += _listed("standard input", stdin.read(), Path())
        elif path.suffix.lower() in MANIFESTS and path.is_file():
            rows += _manifest(path)
        elif path.suffix.lower() in MANIFESTS and not is_remote(name) and not any(one in name for one in "*?["):
            raise BadInput(f"{name}: no such manifest. Correct the name")
        else:
            rows += [Row(name, video, output_of(video, root)) for video, root in expand(name)]
    if not rows:
        raise BadInput("batch: no videos (got empty inputs, expected at least one video). Name a manifest or a folder")
    rows = [_with_marks(row, default) for row in rows]
    _refuse_collisions(rows)
    return rows


def _manifest(path: Path) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}). Give a text file"
        ) from error
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _listed(str(path), text, path.parent)
    entries = _csv(path, text, "\t" if suffix == ".tsv" else ",") if suffix in (".csv", ".tsv") else _jsonl(path, text)
    return [_row(f"{path}, line {line}", values, path.parent) for line, values in entries]


def _listed(where: str, text: str, folder: Path) -> list[Row]:
    """Read a list with one video per line."""
    lines = [(at, line.strip()) for at, line in enumerate(text.splitlines(), 1)]
    return [_row(f"{where}, line {at}", {"video": line}, folder) for at, line in lines if line and line[0] != "#"]


def _csv(path: Path, text: str, separator: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, restkey="")
    try:
        if "video" not in (reader.fieldnames or ()):
            names = ", ".join(filter(None, reader.fieldnames or ())) or "none"
            raise BadInput(f"{path}: no column video (got {names}). Name the columns in the first line")
        found = [(reader.line_num, {key: value for key, value in row.items() if value}) for row in reader]
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: cannot be read ({error}). Correct the line") from error
    for line, row in found:
        if "" in row:
            raise BadInput(f"{path}, line {line}: too many values (got {row['']}). Put values with commas in quotes")
    return found


def _jsonl(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}, line {line}: not JSON ({error}). Correct the line") from error
        if not isinstance(values, dict):
            raise BadInput(f'{path}, line {line}: not an object (expected {{"video": ...}}). Correct the line')
        found.append((line, {key: value for key, value in values.items() if value is not None}))
    return found


def _row(where: str, values: dict[str, Any], folder: Path) -> Row:
    video = values.get("video")
    if not isinstance(video, str) or not video.strip():
        raise BadInput(f"{where}: no video (got {video!r}, expected a name). Correct the line")
    video = _beside(folder, video.strip())
    output = values.get("output", output_of(video, None))
    try:
        prompts = [Prompt(boxes=(parse_box(one),)) for one in _texts(values.get("box"))]
        prompts += [Prompt(points=(parse_point(one),)) for one in _texts(values.get("point"))]
        prompts += [_placed(parse_object(one), folder) for one in _texts(values.get("object"))]
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    files = {}
    for key in ("mask", "prompts"):
        if key in values and not isinstance(values[key], str):
            raise BadInput(f"{where}: wrong {key} (got {values[key]!r}, expected the name of a file). Correct the line")
        files[key] = Path(_beside(folder, values[key])) if key in values else None
    return Row(
        where,
        video,
        _checked_output(where, output),
        files["mask"],
        tuple(prompts),
        files["prompts"],
        _whole(where, values.get("start", 0)),
        {key: value for key, value in values.items() if key not in COLUMNS},
    )


def _beside(folder: Path, name: str) -> str:
    """Return a name relative to the manifest's folder."""
    if is_remote(name) or "://" in name:
        return name
    return str(folder / Path(name).expanduser())


def _placed(prompt: Prompt, folder: Path) -> Prompt:
    return replace(prompt, mask=folder / prompt.mask) if isinstance(prompt.mask, Path) else prompt


def _texts(value: Any) -> list[str]:
    """Read one value, several separated by `;`, or a JSON list of texts or numbers."""
    if value is None:
        return []
    if isinstance(value, str):
        return [one.strip() for one in value.split(";") if one.strip()]
    if isinstance(value, list) and value and not isinstance(value[0], (str, list)):
        return [",".join(map(str, value))]
    if isinstance(value, list):
        return [one if isinstance(one, str) else ",".join(map(str, one)) for one in value]
    return [str(value)]


def _whole(where: str, value: Any) -> int:
    text = "" if isinstance(value, bool) else str(value).strip()
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise BadInput(
            f"{where}: wrong start (got {value!r}, expected the number of a frame, from 0). Correct the line"
        )
    return int(value)


def _checked_output(where: str, output: Any) -> str:
    parts = Path(str(output)).parts
    if not isinstance(output, str) or not parts or Path(output).is_absolute() or any(one[0] == "." for one in parts):
        raise BadInput(
            f"{where}: wrong output (got {output!r}, expected a name below the output folder, without parts that begin "
            "with a dot). Correct the line"
        )
    return Path(output).as_posix()


def _with_marks(row: Row, default: Row | None) -> Row:
    """Take the marks of a row without own marks from a file beside the video, or from the default."""
    if row.mask is not None or row.prompts or row.prompt_file is not None:
        return row
    try:
        beside = find_marks(row.video)
    except (OSError, ValueError) as error:  # such as a name that is too long, or a folder's
        raise BadInput(f"{row.where}: not the name of a video ({error!s:.200}). Correct the name") from error
    if beside is not None:
        mask, prompt_file = beside
        return replace(row, mask=mask, prompt_file=prompt_file)
    if default is None:
        return row
    start = row.start or default.start
    return replace(row, mask=default.mask, prompts=default.prompts, prompt_file=default.prompt_file, start=start)


def _refuse_collisions(rows: list[Row]) -> None:
    """Raise BadInput if two rows have one output, or the output of a row is inside that of another."""
    known: dict[str, Row] = {}
    for row in rows:
        other = known.setdefault(row.output.casefold(), row)
        if other is not row:
            raise BadInput(
                f"{row.where}: output {row.output} is that of another row (got {row.video} and {other.video}, from "
                f"{other.where}). Give each row its own output"
            )
    for row in rows:
        for parent in Path(row.output.casefold()).parents:
            if (outer := known.get(parent.as_posix())) is not None:
                raise BadInput(
                    f"{row.where}: output {row.output} is inside that of another row (got {outer.output}, from "
                    f"{outer.where}). Give each row its own output"
                )
