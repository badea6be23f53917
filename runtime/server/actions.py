"""Actions of a controller, read from JSON; the REST API and the WebSocket share these actions."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

import cv2
import numpy as np

from ..errors import BadInput
from ..io.rle import encode_rle
from .drafts import MarkRequest, checked_fields, flag, text, whole_number
from .painting import fitted
from .runs import encode_runs
from .session import Session
from .values import Draft

Result = dict[str, Any]
Action = Callable[[Session, dict[str, Any]], Awaitable[Result]]


async def perform(session: Session, name: str, fields: dict[str, Any]) -> Result:
    """Carry out an action.

    Parameters
    ----------
    session : session to act on
    name : key of `ACTIONS`
    fields : arguments of the action

    Returns
    -------
    dict
        JSON values that the action returns.

    Raises
    ------
    BadInput
        If there is no such action, or if the action refuses its arguments.

    Examples
    --------
    >>> asyncio.run(perform(None, "dance", {}))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: action: unknown (got 'dance', expected one of accept, cancel, end, object, pause, ...
    """
    if name not in ACTIONS:
        raise BadInput(f"action: unknown (got {name[:40]!r}, expected one of {', '.join(sorted(ACTIONS))})")
    return await ACTIONS[name](session, fields)


def describe_draft(draft: Draft, *, compact: bool) -> Result:
    """Return a preview as JSON values.

    Parameters
    ----------
    draft : preview
    compact : give the mask as runs at the size of the viewers' pictures, in base64, for the page; otherwise as RLE
        of COCO at the size of the frame

    Examples
    --------
    >>> draft = Draft(MarkRequest(), 7, np.ones((2, 3), bool), True)
    >>> describe_draft(draft, compact=False)["mask"]
    {'size': [2, 3], 'counts': '06'}
    """
    left, top, width, height = cv2.boundingRect(draft.mask.astype(np.uint8))
    found: Result = {
        "frame": draft.frame,
        "object": draft.request.object_id,
        "area": int(np.count_nonzero(draft.mask)),
        "box": [left, top, width, height],
    }
    if not compact:
        return found | {"mask": encode_rle(draft.mask)}
    small = shrunk(draft.mask.astype(np.uint8))
    return found | {"runs": base64.b64encode(encode_runs(small)).decode(), "size": [small.shape[1], small.shape[0]]}


def shrunk(labels: np.ndarray) -> np.ndarray:
    """Scale labels to the size of the viewers' pictures, without mixing ids.

    Examples
    --------
    >>> shrunk(np.ones((2160, 3840), np.uint8)).shape
    (720, 1280)
    """
    size = fitted((labels.shape[0], labels.shape[1]))
    if size == labels.shape:
        return labels
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST))


async def _prompt(session: Session, fields: dict[str, Any]) -> Result:
    fields = dict(fields)
    accept, compact = flag(fields, "accept") or False, flag(fields, "compact") or False
    for key in ("accept", "compact"):
        fields.pop(key, None)
    begun = time.perf_counter()
    draft = await asyncio.wrap_future(session.preview(MarkRequest.from_json(fields)))
    found = describe_draft(draft, compact=compact) | {"milliseconds": round(1000 * (time.perf_counter() - begun))}
    if accept:
        entry = await asyncio.wrap_future(session.accept(draft.request.name))
        found["object"] = entry.object_id
        found["accepted"] = entry.as_json()
    return found


async def _accept(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"name"}, "accept")
    return (await asyncio.wrap_future(session.accept(text(fields, "name")))).as_json()


async def _object(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"object", "name", "color", "hidden"}, "object")
    changed = session.change(_object_id(fields), text(fields, "name"), text(fields, "color"), flag(fields, "hidden"))
    return (await asyncio.wrap_future(changed)).as_json()


async def _remove(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"object"}, "remove")
    await asyncio.wrap_future(session.remove(_object_id(fields)))
    return {}


async def _end(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"object"}, "end")
    await asyncio.wrap_future(session.end(_object_id(fields)))
    return {}


async def _seek(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"frame"}, "seek")
    frame = whole_number(fields, "frame", 0, 2**53)
    if frame is None:
        raise BadInput("seek: no frame is given (expected its number, from 0). Add the field frame")
    await asyncio.wrap_future(session.seek(frame))
    return {}


async def _record(session: Session, fields: dict[str, Any]) -> Result:
    checked_fields(fields, {"on"}, "record")
    on = flag(fields, "on")
    if on is None:
        raise BadInput("record: on is missing (expected true to start a recording, false to stop it)")
    await asyncio.wrap_future(session.record(on))
    return {"recordings": [one.as_json() for one in session.player.recorder.all()]}


def _plain(command: str) -> Action:
    async def act(session: Session, fields: dict[str, Any]) -> Result:
        checked_fields(fields, set(), command)
        await asyncio.wrap_future(getattr(session, command)())
        return {}

    return act


def _object_id(fields: dict[str, Any]) -> int:
    object_id = whole_number(fields, "object", 1, 254)
    if object_id is None:
        raise BadInput("object: no id is given (expected 1 to 254). Add the field object")
    return object_id


ACTIONS: dict[str, Action] = {
    **{command: _plain(command) for command in ("play", "pause", "step", "restart", "cancel")},
    "seek": _seek,
    "prompt": _prompt,
    "accept": _accept,
    "object": _object,
    "remove": _remove,
    "end": _end,
    "record": _record,
}
"""Actions by name."""
