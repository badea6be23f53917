"""Checks of the installation, profiles of a run, and benchmarks of models."""
