"""Inference engines: onnxruntime and TensorRT, behind one interface."""
