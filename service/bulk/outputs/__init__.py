"""Writes the results of many images as text, JSON, CSV or Parquet."""
