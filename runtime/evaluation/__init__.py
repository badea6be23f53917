"""Evaluation on annotated data sets: layouts, readings, J and F, errors about presence, reports."""
