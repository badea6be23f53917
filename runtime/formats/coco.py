"""COCO instances and COCO video (YouTube-VIS): JSON with run-length masks.

Sources: https://cocodataset.org/#format-data and https://youtube-vos.org/dataset/vis/.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..io.rle import encode_rle
from ._parts import categories_of, file_name, write_json
from ._shapes import box_of, runs_of
from .results import FrameResult, Results

INFO = {"description": "written by shls"}


def write_coco(results: Sequence[Results], out: Path) -> None:
    """Write `annotations.json`: an image per frame, an annotation per visible object and frame.

    An annotation has the object's `track_id`, which is unique in the file, and `score`. `attributes` repeats the track
    id for tools that drop unknown keys. Masks are run lengths, so `iscrowd` is 1 for tools that choose by `iscrowd`
    between polygons and run lengths, such as `supervision`; pycocotools reads either.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_coco([], Path("out"))  # doctest: +SKIP
    """
    categories, tracks = categories_of(results), _track_ids(results)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for at, video in enumerate(results):
        for frame in video:
            image = {
                "id": len(images) + 1,
                "file_name": f"{file_name(video)}/{frame.name}.jpg",
                "width": video.size[1],
                "height": video.size[0],
                "video_id": at + 1,
                "frame_index": frame.index,
            }
            images.append(image)
            for label in frame.scores:
                track, category = tracks[at, label], categories[video.objects[label].name]
                found = _annotation(frame, label)
                if found is not None:
                    ids = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category}
                    extra = {"track_id": track, "attributes": {"track_id": track}}
                    annotations.append(ids | found | extra)
    videos = [{"id": at, "name": video.name} for at, video in enumerate(results, 1)]
    content = {
        "info": INFO,
        "videos": videos,
        "images": images,
        "annotations": annotations,
        "categories": _categories(categories),
        "tracks": _tracks(results, tracks),
    }
    write_json(out / "annotations.json", content)


def write_youtube_vis(results: Sequence[Results], out: Path) -> None:
    """Write `instances.json`: a video per result, an annotation per object with a list of masks.

    Masks are plain run lengths, as in the published files; a frame in which the object is not visible has null.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_youtube_vis([], Path("out"))  # doctest: +SKIP
    """
    categories, tracks = categories_of(results), _track_ids(results)
    videos, annotations = [], []
    for at, video in enumerate(results):
        size = {"width": video.size[1], "height": video.size[0], "length": len(video.indices)}
        names = [f"{file_name(video)}/{name}.jpg" for name in video.names]
        videos.append({"id": at + 1, "file_names": names} | size)
        found = {label: _empty_track(video, label) for label in video.objects}
        for place, frame in enumerate(video):
            for label in frame.scores:
                values = _annotation(frame, label)
                if values is not None:
                    track = found[label]
                    track["segmentations"][place] = _plain_rle(frame.labels == label)
                    track["bboxes"][place], track["areas"][place] = values["bbox"], values["area"]
                    track["scores"].append(values["score"])
        for label, track in found.items():
            scores = track.pop("scores")
            ids = {
                "id": tracks[at, label],
                "video_id": at + 1,
                "category_id": categories[video.objects[label].name],
                "iscrowd": 0,
                "score": round(sum(scores) / max(1, len(scores)), 4),
            }
            annotations.append(ids | size | track)
    content = {"info": INFO, "videos": videos, "annotations": annotations, "categories": _categories(categories)}
    write_json(out / "instances.json", content)


def _annotation(frame: FrameResult, label: int) -> dict[str, Any] | None:
    """Return mask, box, area and score of an object; None if the object is not visible."""
    inside = frame.labels == label
    if not inside.any():
        return None
    return {
        "segmentation": encode_rle(inside),
        "bbox": box_of(inside),
        "area": int(inside.sum()),
        "iscrowd": 1,
        "score": round(frame.scores[label], 4),
    }


def _plain_rle(inside: np.ndarray) -> dict[str, Any]:
    return {"size": list(inside.shape), "counts": runs_of(inside.T.ravel())}


def _empty_track(video: Results, label: int) -> dict[str, Any]:  # noqa: ARG001
    nothing = [None] * len(video.indices)
    return {"segmentations": list(nothing), "bboxes": list(nothing), "areas": list(nothing), "scores": []}


def _track_ids(results: Sequence[Results]) -> dict[tuple[int, int], int]:
    """Number the objects of all videos from 1; in a single video the object ids are kept."""
    if len(results) == 1:
        return {(0, label): one.id for label, one in results[0].objects.items()}
    keys = [(at, label) for at, video in enumerate(results) for label in video.objects]
    return {key: number for number, key in enumerate(keys, 1)}


def _tracks(results: Sequence[Results], tracks: dict[tuple[int, int], int]) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "video_id": at + 1,
            "object_id": results[at].objects[label].id,
            "name": results[at].objects[label].name,
        }
        for (at, label), number in tracks.items()
    ]


def _categories(categories: dict[str, int]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
