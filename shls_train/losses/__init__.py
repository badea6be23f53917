"""Losses of the embedding stage: dense correspondence and NT-Xent."""
