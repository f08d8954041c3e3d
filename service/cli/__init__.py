"""The command `convserve`."""
