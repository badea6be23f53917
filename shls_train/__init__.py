"""Training of the SHLS networks on unlabelled still images (PyTorch)."""
