"""Run lengths: equal to pycocotools', survive a round trip, and damaged ones are refused."""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shls.runtime.errors import BadInput
from shls.runtime.io.rle import Rle, decode_counts, decode_rle, encode_rle


def counted(size: tuple[int, int], modulus: int, below: int) -> np.ndarray:
    return np.arange(size[0] * size[1]).reshape(size) % modulus < below


ROWS, COLUMNS = np.mgrid[:30, :40]
COCO = [  # the strings are pycocotools 2.0.11's
    (counted((5, 7), 3, 1), "01201000O10O1000O10OO"),
    (counted((480, 854), 854, 300), r"0Pd\4PfS8"),
    ((COLUMNS - 20) ** 2 + (ROWS - 15) ** 2 < 100, "e:9d02M4N0O2N2O0000000000000001N2N102L3NR9"),
    (np.ones((1, 1)), "01"),
    (np.zeros((1, 1)), "1"),
]


@pytest.mark.parametrize(("mask", "counts"), COCO)
def test_rle_is_the_one_of_coco(mask: np.ndarray, counts: str) -> None:
    assert encode_rle(mask) == {"size": list(mask.shape), "counts": counts}
    assert (decode_rle({"size": list(mask.shape), "counts": counts}) == mask).all()


@settings(deadline=None)  # the first call compiles
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_rle_round_trip(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask)) == mask).all()


def test_rle_matches_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for at in range(50):
        noise = cv2.blur(rng.random(rng.integers(1, 90, 2)), (1 + at % 9, 1 + at % 9))
        mask = (noise > rng.random()).astype(np.uint8)
        expected = coco.encode(np.asfortranarray(mask))
        assert encode_rle(mask) == {"size": expected["size"], "counts": expected["counts"].decode()}


@pytest.mark.parametrize(
    "counts", ["", "0", "Q24`0000000000o<"[:-1], "Q24`0000000000o<55", "~~~~", "\x01\x02", "oooooooooo", "é"]
)
def test_damaged_rle(counts: str) -> None:
    rle: Rle = {"size": [20, 30], "counts": counts}
    with pytest.raises(BadInput, match=r"RLE: the (runs do not fill the mask|text has other characters)"):
        decode_rle(rle)


@pytest.mark.parametrize("counts", [[10, 5], [10, -5, 595], [2**62, 2**62, 2**62, 2**62], []])
def test_damaged_counts(counts: list[int]) -> None:
    with pytest.raises(BadInput, match="the runs do not fill the mask"):
        decode_counts([20, 30], np.array(counts, np.int64))


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadInput):
        assert decode_rle({"size": [3, 4], "counts": text}).shape == (3, 4)
