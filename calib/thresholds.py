"""Where to cut a tensor's range: rare large values cost the many small ones their resolution.

Both work on a histogram of magnitudes without the zeros that ReLU makes: those cost nothing in any range.
"""

from __future__ import annotations

import numpy as np

BINS = 2048
LEVELS = 128
"""Magnitudes that int8 tells apart."""
STEP = 16
"""Bins between two thresholds that the entropy search tries."""
PERCENTILE = 99.99


def percentile_threshold(histogram: np.ndarray) -> int:
    """The bin below which 99.99 % of the magnitudes lie, 1..BINS."""
    share = np.cumsum(histogram) / histogram.sum()
    return int(np.searchsorted(share, PERCENTILE / 100)) + 1


def entropy_threshold(histogram: np.ndarray) -> int:
    """The bin at which cutting loses least information, 1..BINS.

    Kullback-Leibler divergence between the distribution cut there, what lies beyond counted to its end, and
    the same distribution in `LEVELS` steps (Migacz, "8-bit inference with TensorRT", GTC 2017).
    """
    tried = range(LEVELS, BINS + 1, STEP)
    return min(tried, key=lambda bins: _divergence(histogram, bins))


def _divergence(histogram: np.ndarray, bins: int) -> float:
    kept = histogram[:bins]
    real = kept.copy()
    real[-1] += histogram[bins:].sum()
    level = np.arange(bins) * LEVELS // bins
    counted = kept > 0
    per_level = np.bincount(level, kept, LEVELS)
    filled = np.bincount(level, counted, LEVELS)
    coarse = np.where(counted, per_level[level] / np.maximum(filled[level], 1), 0)
    p, q = real / real.sum(), coarse / max(coarse.sum(), 1)
    both = (p > 0) & (q > 0)
    # What the coarse one lacks altogether counts as if one in a million values were there.
    return float((p[both] * np.log(p[both] / q[both])).sum() + (p[(p > 0) & ~both] * 14).sum())


THRESHOLDS = {"entropy": entropy_threshold, "percentile": percentile_threshold}
