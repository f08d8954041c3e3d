"""Parsers of client text whose time and memory are linear in its length."""
