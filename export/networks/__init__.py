"""The network architectures, one module each, as their authors published them.

Each network takes preprocessed float32 images, [batch, height, width, channels], and ends in a softmax.
"""
