"""Tone mapping of HDR video (PQ, HLG) to SDR BT.709 by a table of colours."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273."""
PEAK = 1000.0
"""Luminance of the brightest HDR colour that keeps detail, cd/m2."""
WHITE = 203.0
"""Luminance of SDR white, cd/m2. Source: ITU-R BT.2408."""
SIDE = 33
"""Entries of the table along each colour."""
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear RGB of BT.2020 to BT.709. Source: ITU-R BT.2087."""


def is_hdr(transfer: int) -> bool:
    """Return whether a transfer characteristic of H.273 is PQ or HLG.

    Examples
    --------
    >>> is_hdr(HLG), is_hdr(1)
    (True, False)
    """
    return transfer in (PQ, HLG)


def to_sdr(colors: np.ndarray, transfer: int) -> np.ndarray:
    """Tone-map HDR colours to SDR.

    Parameters
    ----------
    colors : ndarray
        (..., 3) float, non-linear RGB of BT.2020 primaries, 0..1.
    transfer : int
        `PQ` or `HLG`.

    Returns
    -------
    ndarray
        (..., 3) float, non-linear RGB of BT.709 primaries, 0..1, for a display of gamma 2.4.

    Notes
    -----
    The curve is the EETF of ITU-R BT.2390 on the largest component, which keeps the hue. Colours
    outside BT.709 are clipped.

    Examples
    --------
    >>> to_sdr(np.array([0.0, 0.0, 0.0]), PQ).round(3).tolist()
    [0.0, 0.0, 0.0]
    """
    nits = _pq_to_nits(colors) if transfer == PQ else _hlg_to_nits(colors)
    most = nits.max(-1, keepdims=True)
    mapped = _pq_to_nits(_roll_off(_nits_to_pq(np.minimum(most, PEAK))))
    scaled = nits * mapped / np.maximum(most, 1e-6) / WHITE
    return np.clip(scaled @ TO_BT709.T, 0, 1) ** (1 / 2.4)


class ToneMapper:
    """Filter that tone-maps decoded HDR pictures.

    Parameters
    ----------
    transfer : int
        `PQ` or `HLG`.
    """

    def __init__(self, transfer: int) -> None:
        self._transfer = transfer
        self._graph: Any = None
        self._size = (0, 0)

    def __call__(self, picture: Any) -> Any:
        """Return an SDR picture of an HDR one; both are of the format gbrp16le."""
        if self._size != (picture.width, picture.height):
            self._open(picture)
        self._graph.push(picture)
        return self._graph.pull()

    def _open(self, picture: Any) -> None:
        self._size = picture.width, picture.height
        self._graph = av.filter.Graph()
        begin = self._graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        with TemporaryDirectory(prefix="shls-") as folder:  # FFmpeg reads the table while it is configured
            table = Path(folder, "table.cube")
            table.write_text(_cube(self._transfer))
            middle = self._graph.add("lut3d", file=str(table))
            end = self._graph.add("buffersink")
            begin.link_to(middle)
            middle.link_to(end)
            self._graph.configure()


@lru_cache
def _cube(transfer: int) -> str:
    """Write the table in the .cube format: red varies fastest."""
    blue, green, red = np.meshgrid(*[np.linspace(0, 1, SIDE)] * 3, indexing="ij")
    table = to_sdr(np.stack([red, green, blue], -1), transfer).reshape(-1, 3)
    rows = (f"{red:.5f} {green:.5f} {blue:.5f}" for red, green, blue in table.tolist())
    return f"LUT_3D_SIZE {SIDE}\n" + "\n".join(rows) + "\n"


def _hlg_to_nits(signal: np.ndarray) -> np.ndarray:
    """Inverse OETF and OOTF of ITU-R BT.2100 for a display of `PEAK`."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = (scene @ BT2020_LUMA)[..., None]
    return PEAK * np.maximum(luminance, 0) ** 0.2 * scene


def _pq_to_nits(signal: np.ndarray) -> np.ndarray:
    """EOTF of SMPTE ST 2084."""
    power = np.maximum(signal, 0) ** (32 / 2523)
    return 10000 * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)


def _nits_to_pq(nits: np.ndarray) -> np.ndarray:
    power = (np.maximum(nits, 0) / 10000) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def _roll_off(signal: np.ndarray) -> np.ndarray:
    """EETF of ITU-R BT.2390 from `PEAK` to `WHITE`, without a change of the black level."""
    top = _nits_to_pq(np.array(PEAK))
    most = _nits_to_pq(np.array(WHITE)) / top
    knee = 1.5 * most - 0.5
    x = signal / top
    t = np.clip((x - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.where(x < knee, x, spline) * top
