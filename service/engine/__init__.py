"""ONNX Runtime sessions and CUDA graphs."""
