"""Image decoding: bytes in, model input rows out."""
