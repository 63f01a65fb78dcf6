"""Which answers are the same: the pairs of ``equivalence_cases.jsonl``, and that none takes long."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.tools._answers.equivalence import agreement
from latentseek_agents.tools.answers import answers_match

LINES = Path(__file__).with_name("equivalence_cases.jsonl").read_text(encoding="utf-8").splitlines()
CASES = [json.loads(line) for line in LINES]


def name(case: dict[str, Any]) -> str:
    return f"{case['class']}: {case['first']} ~ {case['second']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_equivalence(case: dict[str, Any]) -> None:
    assert (agreement(case["first"], case["second"]) is True) == case["equal"]
    assert (agreement(case["second"], case["first"]) is True) == case["equal"]


@pytest.mark.parametrize(
    "hostile",
    [
        "9^{9^{9^{9^9}}}",
        "1000000000!",
        r"\binom{1000000000}{500000000}",
        "((((" * 500,
        "-" * 4000,
        r"\frac{1}{" * 300,
        "1 " * 2000,
        "x^" * 500 + "x",
        "9" * 4000,
        "1," * 2000,
        r"\sqrt{" * 100 + "2" + "}" * 100,
        "(" * 40 + "1" + ")" * 40,
        r"\begin{pmatrix}" * 50,
        "|" * 300,
        "{" * 3000,
        "1e999999999",
        "=" * 500,
        '__import__("os").system("true")',
        "().__class__",
        "\x00\ud800\u202e",
        "7" + "\u0301" * 3000,
        r"\tan(10^{100000})",
        r"\text{" * 400,
        "\\" * 3000,
        " or ".join("12345"),
        "(a+b+c+d+f+g+h)^{400}",
        r"1.0000001^{1000000000000}",
        "0.1...",
        "1 hour " * 300,
        r"\{" * 50 + "1" + r"\}" * 50,
        "\\cup" * 200,
        "¤" * 100,
        "1:" * 100,
    ],
)
def test_hostile_answers_are_answered_in_time(hostile: str) -> None:
    start = time.monotonic()
    assert agreement(hostile, "5") is not True
    assert agreement("x+1", hostile) is not True
    agreement(hostile, hostile + " ")
    agreement(hostile, "1+" + hostile)
    assert time.monotonic() - start < 4.0


REPORTS = Path(__file__).with_name("public_reports.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("case", [json.loads(line) for line in REPORTS], ids=lambda case: case["report"])
def test_what_others_reported(case: dict[str, Any]) -> None:
    assert answers_match(case["first"], case["second"]) == case["equal"]
