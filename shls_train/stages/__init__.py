"""Training stages: stage 1 trains the embedding network, stage 2 the refiner."""
