"""Validation on synthetic clips, plots and roll-outs of the runtime."""
