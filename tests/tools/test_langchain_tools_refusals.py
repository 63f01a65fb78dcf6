"""What the LangChain tools refuse to guess, and how a message says that it failed."""

from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from latentseek_agents.tools import answers_match
from latentseek_agents.tools.langchain_tools import MATH_TOOLS, calculate, check_answer, solve_equation


def call(tool: Any, **arguments: str) -> Any:
    return {"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("$5 + 50¢", "different currencies"),
        ("€5 + $3", "different currencies"),
        ("10 % 3", "% between two numbers is unclear"),
        (r"10 \% 3", "% between two numbers is unclear"),
        ("7/2 rounded", "'rounded' is not understood"),
        ("5 squared", "'squared' is not understood"),
        ("half of 10", "'half' is not understood"),
        ("3 m * 5 m", "a unit of its own"),
        ("3 km x 500 m", "a unit of its own"),
        ("3 * ", "ends with an operator"),
        (r"3 \times", "ends with an operator"),
        ("5 -", "ends with an operator"),
        ("1/0", "1/0 has no value: it divides by zero"),
        (r"\frac{2}{3 - 3} + 1", "divides by zero"),
        ("2\ud800 + 1", "cannot be read"),
    ],
)
async def test_calculate_refuses(expression: str, words: str):
    for message in (
        calculate.invoke(call(calculate, expression=expression)),
        await calculate.ainvoke(call(calculate, expression=expression)),
    ):
        assert isinstance(message, ToolMessage)
        assert words in message.text
        assert (message.status, set(message.artifact)) == ("error", {"error"})
        message.text.encode()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0x10", "16"),
        ("0xff + 0b11", "258"),
        ("0 x 10", "0"),
        ("10% of 50", "5"),
        ("50% + 10%", "3/5 (0.6)"),
        ("10 mod 3", "1"),
        ("$4 * 3 pens", "12"),
        ("50¢ + 25¢", "75"),
    ],
)
def test_calculate(expression: str, value: str):
    message = calculate.invoke(call(calculate, expression=expression))
    assert (message.text, message.status) == (value, "success")


@pytest.mark.parametrize("answer", ["(A) 72", "A) 72", "(B) 72.0", r"(C) \frac{144}{2}"])
def test_the_letter_of_a_choice_may_be_left_out(answer: str):
    assert check_answer.invoke({"answer": answer, "reference": "72"}).startswith("Right")
    assert answers_match("72", answer) is True
    assert answers_match(answer, "73") is False
    assert answers_match(answer, "(D) 72") is False


@pytest.mark.parametrize(
    "equations", ["f(2) = 3, f(x) = ax", "y = g(3)", r"h\left(2\right) = x", "f'(x) = 2"]
)
def test_a_function_is_no_product(equations: str):
    message = solve_equation.invoke(call(solve_equation, equations=equations, unknowns=""))
    assert "may be a function" in message.text
    assert message.status == "error"


def test_a_letter_may_stand_before_a_bracket():
    assert solve_equation.invoke({"equations": "x(2 + 1) = 6"}) == "x = 2"
    assert solve_equation.invoke({"equations": "f*(2 + 1) = 6"}) == "f = 2"


@pytest.mark.parametrize("tool", MATH_TOOLS, ids=lambda tool: tool.name)
def test_half_characters_are_neither_read_over_nor_echoed(tool: Any):
    message = tool.invoke(call(tool, **dict.fromkeys(tool.args, "x\ud800=1")))
    message.text.encode()
    str(message.artifact).encode()
    assert "x = 1" not in message.text
