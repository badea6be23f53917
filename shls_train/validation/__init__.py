"""Validation: roll-outs of the runtime on synthetic clips, scores and plots."""
