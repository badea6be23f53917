"""Model files: the contract inside them, ONNX metadata and the description beside an engine."""
