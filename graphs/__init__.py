"""Graphs built from the engine and the verifiers; every factory returns an uncompiled ``StateGraph``."""
