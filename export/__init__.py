"""From a checkpoint to ONNX and to engines."""
