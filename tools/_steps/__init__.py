"""The machinery of the step checker: exact arithmetic on what a text says, without a model.

The way of a solution, one module each::

    text ─ visible ─▶ tokens ─ parser ─▶ equations ─ judgement, algebra ─▶ provenance ─▶ structure
           what is    pieces   expressions            does each hold?    ▲ do they lead to the answer?
           seen                                                          │
    text ─ fences ─▶ runs ─────────────▶ claims ─ outputs ─ programs ────┘
           code      what it prints     what the text says it prints

Algebra: ``functions`` puts definitions in place of f(2), with ``derivatives``; ``statements`` knows where an
equation with letters holds, ``algebra`` follows each letter, ``restated`` its values from line to line, and
``congruences`` the remainders. ``words_before`` tells which words may change an operand, ``leads`` which may
give a letter a new meaning, and ``meanings`` what the question says about the numbers. ``question`` tells
word problems from other mathematics.

Everything that the rest of the package uses is imported from here. ``latentseek_agents.tools.steps`` is the
door for users.

Example:
    >>> comparisons = find_comparisons("She has 48/2 = 24 pens, and 24 + 48 = 73.")
    >>> [outcome.status for outcome in judge(comparisons)]
    ['ok', 'wrong']
    >>> calculate("(1 + 2) * 1/4")
    Fraction(3, 4)
"""

from latentseek_agents.tools._steps.algebra import judge_algebra
from latentseek_agents.tools._steps.claims import Claim
from latentseek_agents.tools._steps.congruences import judge_congruences
from latentseek_agents.tools._steps.corrections import corrected_equation
from latentseek_agents.tools._steps.equations import Comparison, find_comparisons
from latentseek_agents.tools._steps.fences import find_blocks
from latentseek_agents.tools._steps.functions import with_values
from latentseek_agents.tools._steps.judgement import HOLDS, Outcome, Status, judge, without_credit
from latentseek_agents.tools._steps.meanings import meaning_of
from latentseek_agents.tools._steps.parser import calculate
from latentseek_agents.tools._steps.programs import Program, judge_programs, without_code
from latentseek_agents.tools._steps.question import equations_of
from latentseek_agents.tools._steps.structure import Block, Signal, structure_of
from latentseek_agents.tools._steps.tokens import MAX_CHARACTERS, tokenize
from latentseek_agents.tools._steps.visible import visible_text

__all__ = [
    "HOLDS",
    "MAX_CHARACTERS",
    "Block",
    "Claim",
    "Comparison",
    "Outcome",
    "Program",
    "Signal",
    "Status",
    "calculate",
    "corrected_equation",
    "equations_of",
    "find_blocks",
    "find_comparisons",
    "judge",
    "judge_algebra",
    "judge_congruences",
    "judge_programs",
    "meaning_of",
    "structure_of",
    "tokenize",
    "visible_text",
    "with_values",
    "without_code",
    "without_credit",
]
