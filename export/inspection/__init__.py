"""Builds `inspect.onnx`: the outputs of all layers of a classifier, and gradients as forward operators."""
