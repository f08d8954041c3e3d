"""The model repository: manifest format, publishing and reading back."""
