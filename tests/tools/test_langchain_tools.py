"""The LangChain tools: words for a model, plain values for a program, and never a traceback."""

import json
import os
import random
import re
import signal
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from latentseek_agents.tools._symbolic import shared_sandbox
from latentseek_agents.tools.langchain_tools import (
    MATH_TOOLS,
    calculate,
    check_answer,
    check_math_steps,
    solve_equation,
)


@pytest.fixture(autouse=True)
def warm() -> None:
    """On a busy machine SymPy's import may take long; it is not what is tested."""
    shared_sandbox().ask("load_solver", seconds=60)


def run(tool: BaseTool, **arguments: Any) -> Any:
    """The tool's message: content and artifact."""
    message = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})
    assert isinstance(message, ToolMessage)
    assert isinstance(message.content, str)
    json.dumps(message.artifact)
    return message


class _CheckMathSteps:
    """What both standard suites need to know."""

    @property
    def tool_constructor(self) -> BaseTool:
        return check_math_steps

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"solution": "48/2 = 24 and 48 + 24 = 72.", "question": "What is 48 and half of it?"}


class TestCheckMathStepsUnit(_CheckMathSteps, ToolsUnitTests):
    pass


class TestCheckMathStepsIntegration(_CheckMathSteps, ToolsIntegrationTests):
    pass


class _CheckAnswer:
    """What both standard suites need to know."""

    @property
    def tool_constructor(self) -> BaseTool:
        return check_answer

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"answer": "0.5", "reference": r"\frac{1}{2}"}


class TestCheckAnswerUnit(_CheckAnswer, ToolsUnitTests):
    pass


class TestCheckAnswerIntegration(_CheckAnswer, ToolsIntegrationTests):
    pass


class _SolveEquation:
    """What both standard suites need to know."""

    @property
    def tool_constructor(self) -> BaseTool:
        return solve_equation

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"equations": "x + y = 3, x - y = 1", "unknowns": "x, y"}


class TestSolveEquationUnit(_SolveEquation, ToolsUnitTests):
    pass


class TestSolveEquationIntegration(_SolveEquation, ToolsIntegrationTests):
    pass


class _Calculate:
    """What both standard suites need to know."""

    @property
    def tool_constructor(self) -> BaseTool:
        return calculate

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"expression": "(1 + 2) / 4"}


class TestCalculateUnit(_Calculate, ToolsUnitTests):
    pass


class TestCalculateIntegration(_Calculate, ToolsIntegrationTests):
    pass


@pytest.mark.parametrize(
    ("equations", "unknowns", "words"),
    [
        ("2x + 3 = 7", "", "x = 2"),
        (r"\frac{x}{3} = \frac12", "", "x = 3/2 (1.5)"),
        ("0.1x = 0.3", "", "x = 3"),
        ("x^2 - 5x + 6 = 0", "x", "x = 2 or x = 3"),
        ("x^2 = 2", "", "x = -sqrt(2) (-1.41421356237) or x = sqrt(2) (1.41421356237)"),
        ("x^2 + 1 = 0", "", "There is no real solution; not real: x = -i or x = i"),
        ("x^3 - 6x^2 + 11x - 6 = 0", "", "x = 1 or x = 2 or x = 3"),
        ("(x - 1)^2 = 0", "", "x = 1"),
        ("x + y = 10, x - y = 4", "", "x = 7, y = 3"),
        ("x + y + z = 6; y - x = 1; z - y = 1", "", "x = 1, y = 2, z = 3"),
        (r"\begin{cases} 2a + b = 7 \\ a - b = 2 \end{cases}", "", "a = 3, b = 1"),
        ("xy = 6 and x + y = 5", "", "x = 2, y = 3 or x = 3, y = 2"),
        ("x + y = 2, 2x + 2y = 4", "", "x = 2 - y, for every value of y"),
        ("ax + b = 0", "x", "x = -b/a"),
        ("1,000x = 5000", "", "x = 5"),
        ("x + 1 = x + 2", "", "There is no solution."),
        ("x + 1 = 1 + x", "", "Every value of x is a solution."),
        ("(x^2 - 1)/(x - 1) = 2", "", "There is no solution."),
        ("x/x = 1", "", "Every value of x for which no denominator is zero is a solution."),
        (r"\sqrt{x + 2} = x", "", "x = 2"),
        (r"\sqrt{x} = -2", "", "There is no real solution."),
        ("2^x = 8", "", "x = 3"),
        ("|x - 2| = 3", "", "x = -1 or x = 5"),
        ("4^x - 3 * 2^x + 2 = 0", "", "x = 0 or x = 1"),
        ("x^3 = 2x + 1", "", None),
        (r"\theta + 1 = 3", r"\theta", "theta = 2"),
    ],
)
def test_solve(equations: str, unknowns: str, words: str | None):
    message = run(solve_equation, equations=equations, unknowns=unknowns)
    assert "error" not in message.artifact, message.content
    if words is not None:
        assert message.content == words


def test_solve_gives_exact_and_decimal_values():
    found = run(solve_equation, equations="2x^2 = x + 1").artifact
    assert (found["kind"], found["field"], found["unknowns"]) == ("finite", "complex", ["x"])
    assert found["solutions"] == [
        {"x": {"exact": "-1/2", "decimal": "-0.5", "real": True}},
        {"x": {"exact": "1", "decimal": "1", "real": True}},
    ]


def test_roots_without_a_short_form_are_decimals():
    solutions = run(solve_equation, equations="x^5 - x - 1 = 0").artifact["solutions"]
    (only,) = [solution["x"] for solution in solutions if solution["x"]["real"]]
    assert only["exact"] is None
    assert float(only["decimal"]) == pytest.approx(1.1673039782614187)


def test_solutions_of_random_equations_are_all_found():
    chooser = random.Random(5)  # noqa: S311
    for _ in range(40):
        roots = sorted({chooser.randint(-9, 9) for _ in range(chooser.randint(1, 5))})
        text = "".join(f"(x - {root})" if root >= 0 else f"(x + {-root})" for root in roots)
        found = run(solve_equation, equations=f"{chooser.randint(2, 9)}{text} = 0").artifact["solutions"]
        assert [int(solution["x"]["exact"]) for solution in found] == roots
        # The determinant a * b - (a * b + 1) is never zero.
        x, y, a, b, c = (chooser.randint(-20, 20) for _ in range(5))
        d = a * c + 1
        system = f"{a}x + {a * b + 1}y = {a * x + (a * b + 1) * y}; x + {b}y = {x + b * y}; z = {d}"
        (solution,) = run(solve_equation, equations=system).artifact["solutions"]
        assert [int(solution[name]["exact"]) for name in "xyz"] == [x, y, d]


def test_large_coefficients_lose_no_root():
    found = run(solve_equation, equations="x^7 - 1000003x^6 + 99991x - 1234567 = 0").artifact["solutions"]
    assert len(found) == 7
    assert max(float(s["x"]["decimal"]) for s in found if s["x"]["real"]) == pytest.approx(1000003)


@pytest.mark.parametrize(
    ("equations", "unknowns", "words"),
    [
        ("", "", "there is no equation"),
        ("x + 2", "", "has no equals sign"),
        ("2 + 2 = 4", "", "no letter"),
        ("x < 3", "", "no inequalities"),
        (r"x \le 3", "", "no inequalities"),
        ("x + y = 3", "", "say which to solve for"),
        ("x = 3", "y", "does not stand in the equations; their letters are x"),
        ("x = 3", "__import__('os')", "does not stand"),
        ("x = ((3", "", "cannot be read"),
        ("bananas = 10", "", "cannot be read"),
        ("x = 1/0", "", "division by zero"),
        ("sin x = 1", "", "with sin are not solved"),
        ("2^x = x + 2", "", "no method is known"),
        ("x^{9^{9^9}} = 1", "", "too large"),
        ("x = 9^{9^{9^9}}", "", "too large"),
        ("x = (200!)!", "", "factorials"),
        ("x = 1" + "0" * 5000, "", "at most 4096"),
        ("(x+y+z)^{20} = 1, x^{19} + y = 2, z^{17} + x = 3", "", "takes too long"),
        ("__import__('os').system('touch pwned') = x", "", "cannot be read"),
        ("; ".join(f"x_{i} = {i}" for i in range(9)), "", "can be solved"),
        ("(" * 100 + "x" + ")" * 100 + " = 1", "", "nested too deeply"),
    ],
)
def test_what_cannot_be_solved_is_said(equations: str, unknowns: str, words: str):
    message = run(solve_equation, equations=equations, unknowns=unknowns)
    assert message.content.startswith("Error: ")
    assert words in message.content
    assert set(message.artifact) == {"error"}


def test_solving_survives_the_death_of_its_worker():
    for worker in list(shared_sandbox()._idle):
        os.kill(worker.process.pid, signal.SIGKILL)
    shared_sandbox().ask("load_solver", seconds=60)
    assert run(solve_equation, equations="3x = 12").content == "x = 4"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("(48 + 24) / 3", "24"),
        (r"\frac{1}{3} + 0.5", "5/6 (about 0.833333333333)"),
        ("1/8", "1/8 (0.125)"),
        ("15% of 80", "12"),
        ("12 x 3", "36"),
        ("1,000 * 3 =", "3000"),
        ("$4 * 3", "12"),
        ("2^100", "1267650600228229401496703205376"),
        ("200!", "about 7.88657867365e+374"),
        (r"\sqrt{16} - \sqrt[3]{-8}", "6"),
        ("sqrt(2)", "about 1.41421356237"),
        ("e^{60000}", "about 4.66567190099e+26057"),
        ("-1/3", "-1/3 (about -0.333333333333)"),
        ("1e-9 * 3", "3/1000000000 (3e-9)"),
        ("0.00012345", "2469/20000000 (0.00012345)"),
    ],
)
def test_calculate(expression: str, words: str):
    message = run(calculate, expression=expression)
    assert message.content == words
    assert message.artifact["exact"] is not (message.artifact["value"] is None)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "nothing to calculate"),
        ("2 + 2 = 4", "without an equals sign"),
        ("x + 1", "letters (x)"),
        ("((", "cannot be read"),
        ("1/0", "divides by zero"),
        ("9**9**9**9", "no real value"),
        ("3 km + 5 m", "letters"),
        ("1" * 5000, "at most 4096"),
        ("open('/etc/passwd')", "Error"),
    ],
)
def test_what_cannot_be_calculated_is_said(expression: str, words: str):
    message = run(calculate, expression=expression)
    assert message.content.startswith("Error: ")
    assert words in message.content
    assert set(message.artifact) == {"error"}


@pytest.mark.parametrize(
    ("answer", "reference", "matches"),
    [
        (r"So the total is \boxed{72}.", "a solution\n#### 72", True),
        ("50%", "1/2", True),
        ("[2, 5)", "(2, 5)", False),
        ("The answer is 5 or 6", "5", False),
    ],
)
def test_check_answer(answer: str, reference: str, matches: bool):
    message = run(check_answer, answer=answer, reference=reference)
    assert message.artifact["matches"] is matches
    assert message.content.startswith("Right" if matches else "Wrong")


def test_check_answer_needs_both():
    assert "no answer" in run(check_answer, answer=" ", reference="5").artifact["error"]
    assert "no reference" in run(check_answer, answer="5", reference="").artifact["error"]


def test_check_math_steps():
    message = run(check_math_steps, solution="48/2 = 24, 48 + 24 = 73", question="48 and half of it?")
    assert message.content == "Wrong. 1 of 2 equations is refuted: 48 + 24 = 73 (72 is not 73)."
    assert message.artifact["verdict"] == "wrong"
    assert [entry["status"] for entry in message.artifact["equations"]] == ["ok", "wrong"]
    assert run(check_math_steps, solution="48/2 = 24").content.startswith("No error found: 1 of 1")
    assert run(check_math_steps, solution="It is 5.").content.startswith("Nothing could be checked")
    assert "not read" in run(check_math_steps, solution="1 + 1 = 2. " + "word " * 5000).content


@pytest.mark.parametrize("tool", MATH_TOOLS, ids=lambda tool: tool.name)
def test_missing_arguments_are_explained(tool: BaseTool):
    message = run(tool)
    assert message.status == "error"
    assert re.search(r"Error: the arguments do not fit \(\w+: Field required", str(message.content))


@pytest.mark.parametrize("tool", MATH_TOOLS, ids=lambda tool: tool.name)
def test_every_argument_is_described(tool: BaseTool):
    assert tool.response_format == "content_and_artifact"
    assert "Args:" not in tool.description
    schema: Any = tool.tool_call_schema
    assert all(field["description"] for field in schema.model_json_schema()["properties"].values())
