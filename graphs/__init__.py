"""Graphs built from the engine and the verifiers; every factory returns an uncompiled ``StateGraph``."""

from latentseek_agents.graphs.refine import (
    RefineContext,
    RefineInput,
    RefineOutput,
    RefineState,
    create_refine_graph,
)

__all__ = ["RefineContext", "RefineInput", "RefineOutput", "RefineState", "create_refine_graph"]
