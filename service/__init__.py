"""The server: a model repository in, batched image classification over HTTP out."""

__version__ = "0.1.0"
