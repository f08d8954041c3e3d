"""Parity, accuracy and calibration of an exported graph."""
