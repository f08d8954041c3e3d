"""The model repository: its format on disk and how versions are found."""
