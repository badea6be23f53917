"""Training data from stills: pairs of views, synthetic clips, scenes and streams."""
