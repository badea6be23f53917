"""DAVIS layout, J and F, and evaluation of whole data sets."""
