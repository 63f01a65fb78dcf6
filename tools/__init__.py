"""Verifiers: exact step checks, self-reward, ground truth, and their combination."""
