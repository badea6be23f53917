"""Superpixels: SLIC with a warm start, and ISEC."""
