"""Training data from stills: views, clips, scenes and streams."""
