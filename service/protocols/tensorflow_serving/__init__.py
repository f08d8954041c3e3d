"""TensorFlow Serving's REST API and KServe's v1 protocol."""
