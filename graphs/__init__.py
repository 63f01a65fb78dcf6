"""The search, its baselines and a math agent: every factory returns an uncompiled ``StateGraph``."""

from latentseek_agents.graphs.baselines import create_best_of_n_graph, create_self_consistency_graph
from latentseek_agents.graphs.math_agent import MathAgentState, create_math_agent
from latentseek_agents.graphs.refine import create_refine_graph
from latentseek_agents.graphs.state import RefineContext, RefineInput, RefineOutput, RefineState

__all__ = [
    "MathAgentState",
    "RefineContext",
    "RefineInput",
    "RefineOutput",
    "RefineState",
    "create_best_of_n_graph",
    "create_math_agent",
    "create_refine_graph",
    "create_self_consistency_graph",
]
