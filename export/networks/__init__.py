"""The networks, one file each, as their authors published them.

Each takes float32 pictures with values from 0 to 1, height by width by channels, and ends in a softmax.
"""
