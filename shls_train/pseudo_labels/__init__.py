"""Pseudo-masks: object masks of unlabelled stills from saliency cues, their fusion and a saliency network."""
