"""Helpers without knowledge of the method: files, caches, durations, SIMD and numba's threads."""
