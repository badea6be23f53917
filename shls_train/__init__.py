"""Training on unlabelled stills (torch)."""
