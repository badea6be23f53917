"""Video object segmentation on the device: numpy, OpenCV, numba and one inference engine."""
