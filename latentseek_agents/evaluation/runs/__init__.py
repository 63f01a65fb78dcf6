"""Runs: methods over problems, recorded as JSON Lines."""
