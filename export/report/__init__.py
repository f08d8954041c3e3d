"""Evidence that is published with a model: plots, tables and the model card."""
