"""Follow objects between two GStreamer pipelines: an appsink gives the frames, an appsrc takes the coloured frames.

python examples/gstreamer_pipeline.py mask.png --source "filesrc location=clip.mp4 ! decodebin"

GStreamer's Python modules come from the system: `apt install python3-gi gir1.2-gst-plugins-base-1.0`. Use the system's
Python, or an environment made with `--system-site-packages`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gi
import numpy as np

import shls
from shls.runtime.io.masks import overlay, read_mask

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401  # GstApp gives appsink and appsrc their methods

SECOND = 1_000_000_000


def check(pipeline: Any) -> None:
    """Raise an error that the pipeline has reported."""
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    if message:
        raise SystemExit(f"GStreamer: {message.parse_error()[0].message}")


def frames(pipeline: Any) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield image, (H, W, 3) uint8 RGB, time and duration in nanoseconds of each frame."""
    sink = pipeline.get_by_name("in")
    pipeline.set_state(Gst.State.PLAYING)
    while (sample := sink.pull_sample()) is not None:
        buffer, caps = sample.get_buffer(), sample.get_caps().get_structure(0)
        height, width = caps.get_value("height"), caps.get_value("width")
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        rows = data.reshape(height, -1)[:, : 3 * width]  # GStreamer pads each row to a multiple of 4 bytes
        yield rows.reshape(height, width, 3), buffer.pts, buffer.duration
    check(pipeline)  # an error ends the frames, too


def push(source: Any, image: np.ndarray, time: int, duration: int) -> None:
    """Give an image, (H, W, 3) uint8 RGB, to an appsrc."""
    height, width = image.shape[:2]
    rows = np.zeros((height, -(-3 * width // 4) * 4), np.uint8)
    rows[:, : 3 * width] = image.reshape(height, -1)
    buffer = Gst.Buffer.new_wrapped(rows.tobytes())
    buffer.pts, buffer.duration = time, duration
    source.emit("push-buffer", buffer)


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow objects between two GStreamer pipelines.")
    parser.add_argument("mask", type=Path, help="objects of the first frame")
    parser.add_argument("--source", required=True, help="pipeline that ends in raw video")
    parser.add_argument("--sink", default="videoconvert ! autovideosink", help="pipeline that begins with raw video")
    args = parser.parse_args()

    Gst.init(None)
    reading = Gst.parse_launch(
        f"{args.source} ! videoconvert ! video/x-raw,format=RGB ! appsink name=in sync=false max-buffers=2"
    )
    writing = Gst.parse_launch(f"appsrc name=out format=time is-live=false block=true ! {args.sink}")
    out = writing.get_by_name("out")
    count = 0
    with shls.open_segmenter() as segmenter:
        for image, time, duration in frames(reading):
            if count == 0:
                labels = read_mask(args.mask, image.shape[:2])
                segmenter.start(image, labels)
                size = f"width={image.shape[1]},height={image.shape[0]}"
                out.set_property("caps", Gst.Caps.from_string(f"video/x-raw,format=RGB,{size},framerate=0/1"))
                writing.set_state(Gst.State.PLAYING)
            else:
                labels = segmenter.step(image).labels
            push(out, overlay(image, labels), time, duration)
            check(writing)
            count += 1
    if count:
        out.emit("end-of-stream")
        writing.get_bus().timed_pop_filtered(60 * SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    for pipeline in (reading, writing):
        pipeline.set_state(Gst.State.NULL)
    print(f"{count} frames")


if __name__ == "__main__":
    main()
