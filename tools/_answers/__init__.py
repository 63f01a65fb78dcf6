"""Answers: find them in a text, read them as values, and compare them."""

from latentseek_agents.tools._answers.equivalence import agreement
from latentseek_agents.tools._answers.exact import exact_value
from latentseek_agents.tools._answers.expression import ExpressionError, Node, parse_expression
from latentseek_agents.tools._answers.extraction import (
    extract_answer,
    stated_answers,
    unmarked,
    without_sequel,
)
from latentseek_agents.tools._answers.notation import LONGEST_ANSWER, plain_notation
from latentseek_agents.tools._answers.quantities import unit_of

__all__ = [
    "LONGEST_ANSWER",
    "ExpressionError",
    "Node",
    "agreement",
    "exact_value",
    "extract_answer",
    "parse_expression",
    "plain_notation",
    "stated_answers",
    "unit_of",
    "unmarked",
    "without_sequel",
]
