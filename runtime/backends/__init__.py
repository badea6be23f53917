"""Inference engines: onnxruntime and TensorRT behind one protocol, and the shipped models."""
