"""Readings of the device: processor features, GPU, temperatures, power and clocks."""
