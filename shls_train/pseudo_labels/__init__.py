"""Object masks of stills without labels: classical cues, their fusion and a saliency network."""
