"""Plots and the model card that are published with a model."""
