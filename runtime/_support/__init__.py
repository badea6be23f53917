"""Helpers without knowledge of the method: files, time, SIMD, numba's cache and threads."""
