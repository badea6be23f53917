"""Thresholds at which the range of a tensor is cut: without rare large values, small values have finer steps.

Both methods work on a histogram of magnitudes, (BINS,) counts from zero to the largest magnitude of the tensor. Exact
zeros are not counted, because every range represents zero without error.
"""

from __future__ import annotations

import numpy as np

BINS = 2048
"""Number of bins of a histogram."""
LEVELS = 128
"""Number of magnitudes that int8 can represent."""
STEP = 16
"""Distance, in bins, between two thresholds of the entropy search."""
PERCENTILE = 99.99
"""Percentage of magnitudes that lie below the percentile threshold."""


def percentile_threshold(histogram: np.ndarray) -> int:
    """Return the number of bins, 1 to BINS, that contain 99.99 % of the magnitudes.

    Examples
    --------
    >>> histogram = np.zeros(BINS)
    >>> histogram[9], histogram[-1] = 99_990, 10
    >>> percentile_threshold(histogram)
    10
    """
    share = np.cumsum(histogram) / histogram.sum()
    return int(np.searchsorted(share, PERCENTILE / 100)) + 1


def entropy_threshold(histogram: np.ndarray) -> int:
    """Return the number of bins, LEVELS to BINS, whose cut distribution loses least information.

    The loss is the Kullback-Leibler divergence between the cut distribution and the same distribution in `LEVELS`
    steps. Counts beyond the cut are added to its last bin.

    References
    ----------
    Migacz, "8-bit inference with TensorRT", GTC 2017.

    Examples
    --------
    >>> entropy_threshold(np.full(BINS, 50.0)) > 0.9 * BINS  # a flat distribution is hardly cut
    True
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
    # A bin that the coarse distribution lacks counts as if it held a millionth of the values: log(1e6) is about 14.
    return float((p[both] * np.log(p[both] / q[both])).sum() + (p[(p > 0) & ~both] * 14).sum())


THRESHOLDS = {"entropy": entropy_threshold, "percentile": percentile_threshold}
"""Name of a method -> function from a histogram to a threshold in bins."""
