"""Trains convolutional networks with Keras and publishes them as verified ONNX models."""
