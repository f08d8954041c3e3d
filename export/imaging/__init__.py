"""Decoding of images for training, to the pixels that the server gives to the model.

The server's decoder bounds the memory and the time of hostile files; this one does not, and is shorter.
Modules that are functions of bytes and arrays alone are the same files in both.
"""
