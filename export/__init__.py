"""The workshop: trains convolutional networks in Keras and publishes them as verified ONNX models."""
