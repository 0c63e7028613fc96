"""Verdicts as something to read."""
