"""Losses of the embedding: dense correspondence and NT-Xent."""
