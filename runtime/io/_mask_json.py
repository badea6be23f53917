"""Objects of a JSON file: COCO, labelme, or the JSON lines of `shls run --json`."""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..errors import BadInput
from ..types import MAX_OBJECTS
from ._mask_pictures import READ_ERRORS, check_size, too_many
from .objects import NamedMask
from .rle import decode_counts, decode_rle

FRACTION = 4
"""Bits after the point of polygon vertices as OpenCV draws them."""
FARTHEST = 1 << 15
"""Vertices are clipped to this distance from the frame's corner, pixels."""

log = logging.getLogger("shls")


class _Part(NamedTuple):
    """Piece of an object: pieces with the same key are one object.

    inside : (H, W) bool
    """

    inside: np.ndarray
    name: str | None
    key: Hashable
    file_id: int | None = None


def read_json(path: Path, size: tuple[int, int], choice: str | None, frame: int | None) -> NamedMask:
    """Read the objects of a JSON file, see `shls.runtime.io.masks.read_objects`.

    `choice` names an image of a COCO file or a frame of JSON lines; `frame` is taken if there is no choice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    content = _parse(path, text)
    try:
        if isinstance(content, dict) and "shapes" in content:
            parts = _labelme(path, content, size)
        elif isinstance(content, dict) and "annotations" in content:
            parts = _coco(path, content, size, choice)
        elif (
            isinstance(content, list) and content and all(isinstance(one, dict) and "objects" in one for one in content)
        ):
            parts = _lines(path, content, size, choice, frame)
        elif isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
            parts = _coco(path, {"annotations": content}, size, choice)
        else:
            raise _strange(path, "got neither annotations, shapes nor objects")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise _strange(path, f"{type(error).__name__}: {error}") from error
    return _compose(path, parts, size)


def _parse(path: Path, text: str) -> Any:
    """Parse a JSON value, or JSON lines as a list."""
    try:
        content = json.loads(text)
    except ValueError as whole:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise _strange(path, str(whole)) from whole
    except RecursionError as error:
        raise _strange(path, "nested too deeply") from error
    return [content] if isinstance(content, dict) and "objects" in content else content


def _strange(path: Path, problem: str) -> BadInput:
    return BadInput(
        f"{path}: cannot be read as a mask ({problem}; expected COCO JSON, labelme JSON or the JSON lines of "
        "shls run --json). Export the annotations again"
    )


def _compose(path: Path, parts: list[_Part], size: tuple[int, int]) -> NamedMask:
    """Draw the objects, smaller ones on top."""
    objects: dict[Hashable, _Part] = {}
    for part in parts:
        known = objects.get(part.key)
        objects[part.key] = part if known is None else known._replace(inside=known.inside | part.inside)
    found = [part for part in objects.values() if part.inside.any()]
    if not found:
        raise BadInput(f"{path}: the file has no object (got no pixels in {len(parts)} entries). Mark an object")
    if len(found) > MAX_OBJECTS:
        raise too_many(path, len(found))
    ids = _number(found)
    labels = np.zeros(size, np.uint8)
    for at in sorted(range(len(found)), key=lambda at: found[at].inside.sum(), reverse=True):
        labels[found[at].inside] = ids[at]
    visible = set(np.unique(labels).tolist())
    for at, part in enumerate(found):
        if ids[at] not in visible:
            log.warning("%s: object %s is hidden by smaller objects and is left out.", path, part.name or ids[at])
    kept = [(ids[at], part) for at, part in enumerate(found) if ids[at] in visible]
    names = {object_id: part.name for object_id, part in kept if part.name}
    file_ids = {at: part.file_id for at, part in kept if part.file_id is not None and part.file_id != at}
    return NamedMask(labels, names, file_ids)


def _number(parts: list[_Part]) -> list[int]:
    """Give each object its id in the file where all of these are 1 to 254, else 1, 2, ..."""
    ids = [part.file_id for part in parts]
    if all(one is not None and 1 <= one <= MAX_OBJECTS for one in ids):
        return [one for one in ids if one is not None]
    return list(range(1, len(parts) + 1))


def _lines(
    path: Path, lines: list[dict[str, Any]], size: tuple[int, int], choice: str | None, frame: int | None
) -> list[_Part]:
    wanted = frame if choice is None else int(choice) if choice.isdigit() else choice
    line = next((one for one in lines if one["frame"] == wanted), None)
    if line is None and choice is None and (len(lines) == 1 or frame is None):
        line = lines[0]
    if line is None:
        known = _few([one["frame"] for one in lines])
        raise BadInput(
            f"{path}: no line for this frame (got frame {wanted}, expected one of {known}). "
            f"Choose a line by its frame number, as in --mask '{path.name}#{lines[0]['frame']}'"
        )
    parts = []
    for entry in line["objects"]:
        if not entry.get("lost"):
            inside = _from_rle(path, entry["rle"], size)
            parts.append(_Part(inside, _text(entry.get("name")), ("id", int(entry["id"])), int(entry["id"])))
    return parts


def _coco(path: Path, content: dict[str, Any], size: tuple[int, int], choice: str | None) -> list[_Part]:
    annotations = content["annotations"]
    image = _coco_image(path, content, choice)
    if image is not None:
        annotations = [one for one in annotations if one.get("image_id") == image["id"]]
        if "height" in image and "width" in image:
            check_size(path, (int(image["height"]), int(image["width"])), size)
    categories = {one["id"]: one.get("name") for one in content.get("categories") or []}
    tracks = {one["id"]: one.get("name") for one in content.get("tracks") or []}
    parts = []
    for at, one in enumerate(annotations):
        if not one.get("segmentation"):
            log.warning("%s: annotation %s has no segmentation and is left out.", path, one.get("id", at))
            continue
        track = _track(one)
        name = one.get("name") or tracks.get(track) or categories.get(one.get("category_id"))
        key = ("track", track) if track is not None else ("annotation", at)
        parts.append(_Part(_segmentation(path, one["segmentation"], size), _text(name), key, _whole(track)))
    return parts


def _coco_image(path: Path, content: dict[str, Any], choice: str | None) -> dict[str, Any] | None:
    """Find the image whose annotations are read; None if the file lists no images."""
    images = content.get("images") or []
    used = {one.get("image_id") for one in content["annotations"]}
    if choice is not None:
        images = [one for one in images if choice in _image_names(one)]
    elif len(images) != 1:
        images = [one for one in images if one["id"] in used]
    if len(images) == 1:
        return dict(images[0])
    if not images and choice is None and len(used) <= 1:
        return None
    names = [_image_names(one)[0] for one in content.get("images") or []]
    raise BadInput(
        f"{path}: the image is not clear (got {choice or f'annotations of {len(used)} images'}, expected one of "
        f"{_few(names)}). Choose an image by its name, as in --mask '{path.name}#{names[0] if names else 'NAME'}'"
    )


def _image_names(image: dict[str, Any]) -> list[str]:
    """List what an image of a COCO file may be called: its file's name with and without suffix, and its id."""
    file = Path(str(image.get("file_name", "")))
    return [name for name in (file.name, file.stem, str(image["id"])) if name]


def _track(annotation: dict[str, Any]) -> Any:
    """Return the track of an annotation; several annotations with one track are one object."""
    attributes = annotation.get("attributes")
    places = [annotation, attributes if isinstance(attributes, dict) else {}]
    for key in ("track_id", "instance_id"):
        for place in places:
            if place.get(key) is not None:
                return place[key]
    return None


def _labelme(path: Path, content: dict[str, Any], size: tuple[int, int]) -> list[_Part]:
    if content.get("imageHeight") and content.get("imageWidth"):
        check_size(path, (int(content["imageHeight"]), int(content["imageWidth"])), size)
    parts = []
    for at, shape in enumerate(content["shapes"]):
        kind, group = shape.get("shape_type") or "polygon", shape.get("group_id")
        if kind not in _SHAPES:
            log.warning("%s: shape %d is a %s, which has no area, and is left out.", path, at, kind)
            continue
        name = _text(shape.get("label"))
        key = ("shape", at) if group is None else ("group", name, group)
        parts.append(_Part(_SHAPES[kind](path, shape, size), name, key))
    return parts


def _polygon(_: Path, shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    return _draw([np.array(shape["points"], float)], size)


def _rectangle(_: Path, shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    points = np.array(shape["points"], float)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return _draw([np.array([[left, top], [right, top], [right, bottom], [left, bottom]])], size)


def _circle(_: Path, shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    centre, rim = np.array(shape["points"], float)
    rows, columns = np.ogrid[: size[0], : size[1]]
    inside: np.ndarray = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= ((rim - centre) ** 2).sum()
    return inside


def _pasted(path: Path, shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Paste the picture of a shape, a PNG in base64, at its first point."""
    left, top = (round(float(value)) for value in shape["points"][0])
    try:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))).convert("L")) > 0
    except (*READ_ERRORS, binascii.Error) as error:
        raise _strange(path, "the picture of a shape is damaged") from error
    inside = np.zeros(size, bool)
    if left < 0 or top < 0:
        raise _strange(path, f"the picture of a shape begins outside the frame, at {left},{top}")
    height, width = inside[top : top + picture.shape[0], left : left + picture.shape[1]].shape
    inside[top : top + height, left : left + width] = picture[:height, :width]
    return inside


_SHAPES: dict[str, Callable[[Path, dict[str, Any], tuple[int, int]], np.ndarray]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _pasted,
}


def _segmentation(path: Path, value: Any, size: tuple[int, int]) -> np.ndarray:
    """Draw COCO's segmentation: a list of polygons [x, y, x, y, ...], or RLE."""
    if isinstance(value, dict):
        return _from_rle(path, value, size)
    polygons = value if isinstance(value[0], list) else [value]
    return _draw([np.array(one, float).reshape(-1, 2) for one in polygons], size)


def _from_rle(path: Path, rle: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    height, width = (int(one) for one in rle["size"])
    check_size(path, (height, width), size)
    counts = rle["counts"]
    try:
        if isinstance(counts, str):
            return decode_rle({"size": [height, width], "counts": counts}).astype(bool)
        return decode_counts([height, width], np.array(counts, np.int64)).astype(bool)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _draw(polygons: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Draw the union of polygons, (V, 2) float x and y each; the pixels of the outline belong to them."""
    inside = np.zeros(size, np.uint8)
    for vertices in polygons:
        if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3 or not np.isfinite(vertices).all():
            raise ValueError(f"a polygon of {vertices.size} numbers; three points or more are needed")
        fixed = np.rint(vertices.clip(-FARTHEST, FARTHEST) * (1 << FRACTION)).astype(np.int32)
        cv2.fillPoly(inside, [fixed], 1, shift=FRACTION)
    return inside.astype(bool)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _few(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown + (f", ... {values[-1]}" if len(values) > 5 else "")
