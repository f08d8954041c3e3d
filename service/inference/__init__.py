"""The data plane: loaded models, their registry, and classification."""
