"""Export: turn checkpoints into ONNX files, and ONNX files into TensorRT engines, each compared with its source."""
