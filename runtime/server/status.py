"""Status of a session as JSON values, for the page and the API."""

from __future__ import annotations

from typing import Any

import numpy as np

from .session import Session
from .values import Shown


def describe_status(session: Session) -> dict[str, Any]:
    """Return the state of a session.

    Returns
    -------
    dict
        `state`, `problem`, `live`, `frame` (that is shown), `first`, `count` (of frames), `size` [W, H], `fps` (of the
        segmentation), `source_fps`, `age` (seconds from capture to picture), `lost` (seconds since the source was
        lost), `dropped`, `breaks`, `recording`, `recordings`, `backend`, `network`, `timeline` (version of the
        time line), `loop`, `network` and `objects`.

    Examples
    --------
    >>> describe_status(session)["state"]  # doctest: +SKIP
    'paused'
    """
    player = session.player
    reader, shown = player.reader, player.shown
    network = session.segmenter.session
    lost, running = reader.lost(), player.recorder.running
    return {
        "state": player.state,
        "problem": player.problem,
        "live": reader.live,
        "loop": player.loop,
        "frame": None if shown is None else shown.frame.index,
        "first": reader.first,
        "count": reader.count,
        "size": [reader.size[1], reader.size[0]],
        "fps": round(player.fps, 1),
        "source_fps": round(reader.fps, 3),
        "age": None if player.age is None else round(player.age, 3),
        "lost": None if lost is None else round(lost, 1),
        "dropped": reader.dropped,
        "breaks": reader.breaks,
        "recording": None if running is None else running.number,
        "recordings": [one.as_json() for one in player.recorder.all()],
        "backend": network.backend,
        "network": f"{network.contract.network}, {network.contract.precision}",
        "timeline": player.history.version,
        "objects": [one.as_json() for one in session.objects.all()],
    }


def describe_objects(session: Session, shown: Shown) -> list[dict[str, Any]]:
    """Return the objects of a picture: id, name, colour, area, box, confidence, and whether the object is lost.

    Examples
    --------
    >>> describe_objects(session, session.player.shown)[0]["area"]  # doctest: +SKIP
    3214
    """
    labels = shown.mask.labels
    counts = np.bincount(labels.ravel(), minlength=256)
    found = []
    for one in session.objects.all():
        area = int(counts[one.object_id])
        followed = area > 0 or one.object_id in shown.mask.scores
        score = shown.mask.scores.get(one.object_id, 1.0 if area else 0.0)
        found.append(
            one.as_json()
            | {
                "area": area,
                "box": _box(labels == one.object_id) if area else None,
                "confidence": round(float(score), 4) if followed else None,
                "lost": followed and area == 0,
                "followed": followed,
            }
        )
    return found


def _box(inside: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
