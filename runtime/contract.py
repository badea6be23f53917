"""What the exporter and the runtime agree on; it travels inside the ONNX file."""

from __future__ import annotations

PIXEL_MEAN = (127.5, 127.5, 127.5)
PIXEL_STD = (64.0, 64.0, 64.0)
