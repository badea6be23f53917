"""Calibration: from an ONNX file and frames to an INT8 ONNX file."""
