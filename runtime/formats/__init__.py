"""Formats of other tools: results of a run in, annotation files out."""
