"""Functions with too few, too many and odd arguments: an answer, and never an exception."""

import itertools
import random

import pytest

from latentseek_agents.tools import GroundTruth, answers_match
from latentseek_agents.tools._answers.exact import exact_value
from latentseek_agents.tools._answers.expression import (
    ARGUMENTS,
    ExpressionError,
    Node,
    number,
    parse_expression,
)
from latentseek_agents.tools.langchain_tools import calculate, check_answer, solve_equation

NAMES = sorted(ARGUMENTS)
OPERATIONS = [
    *("add", "negate", "multiply", "divide", "power", "root", "percent", "degree", "plus_minus"),
    *("symbol", "constant", "call", "no such kind"),
]
ODD = ("", "0", "-1", "1/2", "5", "10^9", "1/0", "x", "pi", "i", "\\infty", "%", "(1, 2)", "0.1(6)")


@pytest.mark.parametrize(
    "text",
    [
        "max 5",
        "min 5",
        "abs(1,2,3)",
        "gcd(4)",
        "lcm 3",
        "log(1,2,3)",
        r"\log_2(8, 3)",
        "sin(1, 2)",
        "floor(1,2)",
    ],
)
def test_the_wrong_number_of_arguments_is_no_expression(text: str):
    with pytest.raises(ExpressionError):
        parse_expression(text)
    assert answers_match(text, "5") is False
    assert answers_match("5", text) is False
    assert answers_match(text, text) is True
    assert GroundTruth("5")("What is it?", rf"\boxed{{{text}}}").passed is False
    assert calculate.invoke({"expression": text}).startswith("Error: ")
    assert check_answer.invoke({"answer": text, "reference": "5"}).startswith("Wrong")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max(2, 5)", 5),
        ("min(2, 5, -1)", -1),
        ("gcd(12, 18)", 6),
        ("lcm(4, 6)", 12),
        ("abs(-5)", 5),
        ("log(1000)", 3),
        ("log_2 8", 3),
        (r"\lg 100", 2),
    ],
)
def test_the_right_number_is_calculated(text: str, value: int):
    assert exact_value(parse_expression(text)) == value


def test_every_function_with_odd_arguments():
    chooser = random.Random(4)  # noqa: S311
    for name in NAMES:
        for count in (0, 1, 2, 3, 70):
            arguments = ", ".join(chooser.choice(ODD) for _ in range(count))
            for text in (f"{name}({arguments})", rf"\{name}{{{arguments}}}", f"{name} {arguments}"):
                answers_match(text, "5")
                answers_match("x + 1", text)
        text = f"{name}({chooser.choice(ODD)})"
        for tool in (calculate, check_answer, solve_equation):
            assert isinstance(
                tool.invoke(dict.fromkeys(tool.args, f"{text} = x" if tool is solve_equation else text)), str
            )


def test_trees_made_by_hand_have_a_value_or_none():
    leaves = (number(0), number(-3), number(10**50), Node("symbol", name="x"), Node("nothing"))
    names = [*NAMES, "factorial", "double_factorial", "binomial", "mod", "", "system"]
    for count in range(4):
        for arguments in itertools.product(leaves, repeat=count):
            for name in names:
                exact_value(Node("call", arguments, name))
            for kind in OPERATIONS:
                exact_value(Node(kind, arguments))


def test_a_deep_tree_has_no_value():
    tree = number(1)
    for _ in range(100_000):
        tree = Node("negate", (tree,))
    assert exact_value(tree) is None
