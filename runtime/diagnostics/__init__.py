"""Checks of the installation, profiles and benchmarks of models."""
