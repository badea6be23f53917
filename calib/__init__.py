"""Calibration: turn an fp32 ONNX file and ordinary frames into an INT8 ONNX file, without a GPU."""
