"""The word problems of benchmarks/aim.py: the same from the same seed, and their answers are right."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from aim import compared, problems


def test_the_same_seed_makes_the_same_problems():
    assert problems(30, 1) == problems(30, 1) != problems(30, 2)
    assert problems(30, 1)[:10] == problems(10, 1)
    assert [problem.steps for problem in problems(4, 0)] == [1, 2, 1, 2]


def test_answers_worked_out_by_hand_from_the_numbers_of_the_question():
    made = problems(24, 3)
    rules: dict[str, Callable[..., int]] = {
        "finds": lambda a, b: a + b,
        "gives": lambda a, b: a - b,
        "There are": lambda a, b: a * b,
        "shares": lambda a, b: a // b,
        "A ticket": lambda a, b: a * b,
        "taller": lambda a, b: a + b,
        "for free": lambda a, b, c: a * b + c,
        "loses": lambda a, b, c: a * b - c,
        "together": lambda a, b: a + a + b,
        "A shop": lambda a, b, c: (a + b) * c,
        "reads": lambda a, b, c: c - a * b,
        "equally": lambda a, b, c: b // a + c,
    }
    seen: set[str] = set()
    for problem in made:
        word, rule = next((word, rule) for word, rule in rules.items() if word in problem.question)
        seen.add(word)
        assert int(problem.reference) == rule(*map(int, re.findall(r"\d+", problem.question))) > 0
    assert seen == set(rules)


def test_what_is_right_with_one_aim_alone_is_counted():
    def row(none: bool, aimed: bool) -> dict[str, dict[str, bool]]:
        return {"none": {"right": none}, "first_error": {"right": aimed}}

    rows = [row(False, True)] * 6 + [row(True, False)] + [row(True, True)] * 3
    assert compared(rows) == "aimed alone right on 6, not aimed alone on 1: McNemar's p 0.12"
