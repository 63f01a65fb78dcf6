"""Programs in a solution: they print what the text says, or it is refuted; they may lead to the answer."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents._html import html_page
from latentseek_agents.tools import Combined
from latentseek_agents.tools.langchain_tools import check_math_steps
from latentseek_agents.tools.steps import StepVerifier, check_steps
from latentseek_agents.verdict import Attempt, Verdict

PENS = "Tom buys 3 boxes of 24 pens and gives away 12 pens. How many pens are left?"
FILE = Path(__file__).with_name("program_cases.jsonl")
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
WRONG = "```python\nprint(3 * 24 - 12)\n```\n```output\n61\n```\nThe answer is 61."


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case["text"].split())[-50:])
def test_programs_are_judged_right(case):
    report = check_steps(case["text"], PENS)
    last = report.programs[-1] if report.programs else None
    assert (last.status if last else "none") == case["status"], report.programs
    wrong = report.refutations
    assert [claim.text for claim in wrong] == case.get("wrong", [])
    assert all(case["text"][slice(*claim.span)] == claim.text for claim in wrong)
    assert report.computed_answer == case.get("computed")
    verdict = StepVerifier()(PENS, case["text"])
    assert verdict.computed_answer == case.get("computed")
    assert verdict.refuted == bool(wrong)
    if "passed" in case:
        assert verdict.passed is case["passed"], verdict.reason


def test_a_refuted_output_is_named_with_the_true_value():
    verdict = StepVerifier()(PENS, WRONG)
    assert verdict.reason == "refuted: 61 (it prints 60, not 61)"
    assert verdict.passed is False
    assert verdict.score <= -0.95
    assert verdict.checks[0].name == "output: 61"


def test_code_is_no_prose():
    text = "```python\nx = 2 + 2 == 5\ny = 1 + 1\nprint(y)\n```\nSo."
    assert check_steps(text).equations == []
    assert check_steps("```python\n# 2 + 2 = 5\n```").verdict == "wrong"


def test_the_report_has_plain_values():
    values = check_steps(WRONG).to_dict()
    (program,) = json.loads(json.dumps(values))["programs"]
    assert (program["printed"], program["status"]) == ("60\n", "wrong")
    assert WRONG[slice(*program["span"])] == "print(3 * 24 - 12)\n"
    assert [claim["text"] for claim in program["claims"]] == ["61", "61"]
    assert values["computed_answer"] == "60"


def test_the_computed_answer_travels_with_the_verdict():
    def refuse(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(-1.0, passed=False)

    verdict = Combined(StepVerifier(), refuse)(PENS, WRONG)
    assert verdict.computed_answer == "60"
    assert Verdict.from_dict(verdict.to_dict()).computed_answer == "60"
    attempt = Attempt(0, [], [], [], WRONG, "stop").judged(verdict, passed=False)
    assert Attempt.from_dict(attempt.to_dict()).computed_answer == "60"


def test_the_math_tool_tells_what_programs_print():
    words = check_math_steps.invoke({"solution": WRONG})
    assert words == "Wrong. Its program prints 60 (wrong: it prints 60, not 61)."


def test_the_page_marks_the_claim_and_shows_what_is_printed():
    attempt = Attempt(0, [], [], [], WRONG, "stop", answer="61", score=-1.0, passed=False).to_dict()
    result = {
        "question": PENS, "answer": "61", "text": WRONG, "score": -1.0, "passed": False, "reason": "",
        "stop_reason": "iterations", "iterations": [attempt],
        "usage": {"policy_tokens": 1, "verifier_tokens": 0, "policy_seconds": 0.0, "verifier_seconds": 0.0},
    }  # fmt: skip
    page = html_page([result], None)
    assert page.count("it prints 60, not 61") == 3
    assert "what its programs print" in page


@pytest.mark.parametrize(
    "text",
    [
        "```python\nwhile True: pass\n```\n" * 50,
        "```python\nprint(1)\n```\n```output\n2\n```\n" * 400,
        "```python\n" + "print(1)  # 2\n" * 1400 + "```",
        "```python\nfor i in range(10**9): pass\nprint(3)\n```\nThe answer is 3.",
        "```python\nprint(3 * sum(range(2 * 10**6)))\n```\nThe answer is 3.",
        "```python\nprint('" + "9" * 19000 + "')\n```\n9",
        "```python\nprint(2 ** 10 ** 9)\n```\nThe answer is 3.",
        "```python\n" + "(" * 19000,
        "```python\n" + "-" * 19000 + "1\n```",
        "```python\n'" + "\\" * 19000,
        "```" * 6000,
        "~~~py\n" * 4000,
        "```python\nprint(" + " + ".join(map(str, range(3000))) + ")\n```\nThe answer is 5.",
        "```python\nprint(1)\n```\n" + "the output is " * 1400,
    ],
    ids=range(14),
)
def test_hostile_programs_are_quick(text):
    check_steps("```python\nprint(1)\n```")  # the start of a worker is not charged
    began = time.monotonic()
    check_steps(text, PENS)
    assert time.monotonic() - began < 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(
    ["```python\n", "```\n", "```output\n", "~~~\n", "print(7)", "print('a", "\n", "# 7", "7", " is ", "'",
     '"""', "The answer is ", "prints ", "f'{7}'", "\\boxed{7}", "<!--", ">>> "]), max_size=30))  # fmt: skip
def test_any_text_is_borne(pieces):
    text = "".join(pieces)
    report = check_steps(text, text)
    for program in report.programs:
        for claim in program.claims:
            assert text[slice(*claim.span)] == claim.text


@given(st.integers(2, 999), st.integers(2, 999), st.integers(-3, 3))
@settings(max_examples=40, deadline=None)
def test_an_output_is_refuted_exactly_if_it_differs(first, second, error):
    stated = first * second + error
    text = f"```python\nprint({first} * {second})\n```\n```output\n{stated}\n```\nThe answer is {stated}."
    verdict = StepVerifier()(f"What is {first} times {second}?", text)
    assert verdict.refuted == bool(error)
    assert verdict.computed_answer == (str(first * second) if error else None)
    assert verdict.passed is (not error)


def test_any_thread_may_check():
    found = []
    threads = [threading.Thread(target=lambda: found.append(check_steps(WRONG).verdict)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["wrong"] * 8


def test_importing_starts_no_worker():
    code = (
        "import latentseek_agents.tools.steps, latentseek_agents.tools.programs as programs;"
        "latentseek_agents.tools.steps.check_steps('2 + 2 = 4');"
        "assert not programs._interpreter._has_started"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
