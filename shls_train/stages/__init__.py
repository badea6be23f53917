"""The two stages of training: embedding and refiner."""
