"""The grammar of what a source may be called.

A file, a folder, a pattern of names; or, live: `0` or `/dev/video0` or `v4l2:///dev/video0`, `csi://0`,
`rtsp://user:password@host/path`, `http://host/path`. Local cameras take options after a question mark, as in
`v4l2:///dev/video0?width=1280&height=720&fps=30&codec=mjpg&flip=180`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from shls.runtime.errors import BadInput

STREAMS = ("rtsp", "rtsps", "http", "https")
CAMERAS = ("v4l2", "csi")
FLIPS = ("none", "180", "horizontal", "vertical")


class CameraUri(NamedTuple):
    """A local camera.

    kind : v4l2 or csi
    device : `/dev/video0`, or a CSI sensor's number
    width, height, fps : as asked for, 0 where the camera may choose
    codec : four letters such as mjpg, or nothing
    flip : one of `FLIPS`
    """

    kind: str
    device: str
    width: int = 0
    height: int = 0
    fps: int = 0
    codec: str = ""
    flip: str = "none"


def is_live(uri: str) -> bool:
    """Tell cameras and streams from what lies on the disk; a file that is called `0` is a file."""
    if scheme_of(uri) in STREAMS + CAMERAS:
        return True
    return bool(re.fullmatch(r"/dev/video\d+|\d+", uri)) and not Path(uri).is_file() and not Path(uri).is_dir()


def scheme_of(uri: str) -> str:
    """Give what stands before `://`, in lower case; nothing where there is none."""
    scheme, found, _ = uri.partition("://")
    return scheme.lower() if found else ""


def redact(uri: str) -> str:
    """Take user, password and the query, where keys may be, out of a stream's name: for messages."""
    if scheme_of(uri) not in STREAMS:
        return uri
    return re.sub(r"\?.*", "?...", re.sub(r"(?<=://).*@", "...@", uri, flags=re.DOTALL), flags=re.DOTALL)


def parse_camera(uri: str) -> CameraUri:
    """Read a local camera's name and options; raises BadInput where they are not of the grammar."""
    scheme = scheme_of(uri)
    name, _, query = uri.removeprefix(f"{scheme}://").partition("?")
    kind = scheme or "v4l2"
    if kind == "v4l2" and name.isdigit():
        name = f"/dev/video{name}"
    pattern, example = (r"\d+", "csi://0") if kind == "csi" else (r"/dev/.+", "v4l2:///dev/video0")
    if not re.fullmatch(pattern, name):
        raise BadInput(f"{uri}: not the name of a camera; expected one such as {example}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - set(CameraUri._fields[2:]):
        known = ", ".join(CameraUri._fields[2:])
        raise BadInput(f"{uri}: unknown option {min(unknown)}; expected some of {known}")
    numbers = {}
    for key in ("width", "height", "fps"):
        value = options.pop(key, "0")
        if not value.isdigit():
            raise BadInput(f"{uri}: {key} is {value!r}; expected a whole number")
        numbers[key] = int(value)
    if options.get("flip", "none") not in FLIPS:
        raise BadInput(f"{uri}: flip is {options['flip']!r}; expected {', '.join(FLIPS)}")
    if len(options.get("codec", "mjpg")) != 4:
        raise BadInput(f"{uri}: codec is {options['codec']!r}; expected four letters, such as mjpg")
    return CameraUri(kind, name, **numbers, **options)  # type: ignore[arg-type]  # strings by now
