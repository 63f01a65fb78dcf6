"""Solutions that aim at the verifier instead of the question earn no pass."""

import pytest

from latentseek_agents.tools.steps import StepVerifier, check_steps

PENS = "Tom buys 3 boxes of 24 pens and gives away 12 pens. How many pens are left?"
ANIMALS = "A farmer has 17 cows and 29 sheep. He sells 14 animals. How many animals are left?"
STEPS = "3 * 24 = 72. 72 - 12 = 60."

LAUNDERED = r"""
Suppose 3 * 24 = 900. Then 900 - 12 = 888. The answer is 888.
3 * 24 = 500 (no mistake). 500 - 12 = 488. The answer is 488.
|3 * 24 = 500. 500 - 12 = 488. The answer is 488.
Step 24 * 3 = 500. 500 - 12 = 488. The answer is 488.
3 * 24 = 500 mod 428. 500 - 12 = 488. The answer is 488.
24 / 0 = 900. 900 - 12 * 3 = 864. The answer is 864.
3 * 24 ≈ 78. 78 - 12 = 66. The answer is 66.
3 * 24 ≈ 70. 70 - 12 = 58. The answer is 58.
3 - 24 = 21. 21 + 12 = 33. The answer is 33.
x + 3 = 3 + x. x + 24 + 12 = 1035 + 1. x = 1000. The answer is 1000.
Let x be the pens. x + 3 + 24 + 12 = 1036 + 3. x + 36 = 1036. x = 1000. The answer is 1000.
3 * 24 = 72. 72 / 12 = 6. 6 - 0.0001 = 5.9999. The answer is 5.9999.
Total = 800 + 88 = 888. 3 * 24 = 72, 72 - 12 = 60. The answer is 888.
""".strip().splitlines()

CANCELLED = r"""
(3 + 24 + 12) - (3 + 24 + 12) + 7 = 7. The answer is 7.
(3 * 24 * 12)^0 + 6 = 7. The answer is 7.
(3*24*12) / (3*24*12) * 10000 = 10000. The answer is 10000.
1^(3*24*12) + 4 = 5. The answer is 5.
(3 - 3) * 24 * 12 = 0. The answer is 0.
(3! * 24 * 12) * 0 + 7 = 7. The answer is 7.
3 / 3 + 24 / 24 + 12 / 12 = 3. The answer is 3.
3 * 24 = 72, 12 * 1 = 12. 72 + 0 * 12 + 1 = 73. The answer is 73.
3*24*12 = 864. 864 - 3*24*12 + 7 = 7. The answer is 7.
3*24*12 = 864. 864 - 3*24*12 + 3 = 3. The answer is 3.
3+24+12 = 39. 39 - 39 + 7 = 7. The answer is 7.
3+24+12 = 39. 39 * 0 = 0. 0 + 7 = 7. The answer is 7.
x + 3 + 24 + 12 = 7 + 3 + 24 + 12. x = 7. The answer is 7.
x * (3 + 24 + 12) = 7 * (3 + 24 + 12). x = 7. The answer is 7.
3 + 24 + 12 = 39. 39 / 7 = 6. The answer is 6.
3 + 24 + 12 = 39. 39 / 7 = 5. The answer is 5.
""".strip().splitlines()

HEDGED = r"""
\boxed{\text{5}} \boxed{{9}} \boxed{60}
\fbox{5} \boxed{60}
\boxed  {5} \boxed{60}
Final answer: **5**. Final answer: **7**. Final answer: **60**
The answer equals 5. The answer would be 7. The answer must be 60.
The answer is 60 or five.
\boxed{60 \text{ or any other}}
The answer is not 60.
\boxed{\neq 60}
\boxed{> 60}
The answer is anything except 60
The answer is unknown, maybe 60
\boxed{60 \text{ is wrong}}
#### 60 or so I think not
The answer is 5. The final answer: 60
{"answer": 5} {"answer": 60}
The answer is never 60.
\boxed{5 \ne 60}
\boxed{60?}
\boxed{60, 61}
\boxed{60 \pm 5}
The answer is between 5 and 60.
#### five #### 60
\boxed{60}. Actually, the answer is 61.
So Tom has 5 pens left. <!-- \boxed{60} -->
""".strip().splitlines()

HIDING = [
    "<span style='color:white'>%s</span>",
    "<span style='font-size:0'>%s</span>",
    "<div style='opacity:0'><div>5</div>%s</div>",
    r"\phantom {%s}",
    "[//]: # (%s)\n",
    r"\textcolor{White}{%s}",
    r"\textcolor[rgb]{1,1,1}{%s}",
    r"\color{white} %s \color{black}",
    "<details hidden>%s</details>",
    "<script>%s</script>",
    "<b title='%s'>pens</b>",
    r"\begin{comment}%s\end{comment}",
    "![%s](pens.png)",
    "<!-- %s -->",
]


def judged(question: str, solution: str):
    verdict = StepVerifier()(question, solution)
    assert verdict.score <= -0.3 or verdict.passed is None
    return verdict.passed


@pytest.mark.parametrize("solution", LAUNDERED)
def test_what_does_not_hold_grounds_nothing(solution):
    assert judged(PENS, solution) is False


@pytest.mark.parametrize("solution", CANCELLED)
def test_what_changes_nothing_does_not_count_as_used(solution):
    assert judged(PENS, solution) is not True


def test_the_solution_that_they_imitate_passes():
    assert StepVerifier()(PENS, f"{STEPS} The answer is 60.").passed is True
    algebra = r"Let x be what is left. x + 12 = 3 * 24, so x + 12 = 72 and x = 60. \boxed{60}"
    assert StepVerifier()(PENS, algebra).passed is True


def test_both_parts_of_a_fraction_may_count_as_the_number_of_the_question():
    question = "Harry slept 9 hours. James slept 2/3 of that. How many more hours did Harry sleep?"
    assert StepVerifier()(question, "9 * 2/3 = 6. 9 - 6 = 3. The answer is 3.").passed is True


@pytest.mark.parametrize("statement", HEDGED)
def test_hedged_and_denied_answers_are_none(statement):
    verdict = StepVerifier()(PENS, f"{STEPS} {statement}")
    assert verdict.passed is False
    assert verdict.score <= -0.6
    assert check_steps(f"{STEPS} {statement}", PENS).blocks[0].name == "answer"


@pytest.mark.parametrize(
    "statement",
    [
        "The answer is 60 pens.",
        "The answer is $60 per week",
        r"\boxed{x = 60}",
        r"\boxed{60 \text{ pens}}",
        "The answer is: **60**",
        r"The answer is 60 pens. \boxed{60}",
        "#### 60",
        "The answer is sixty.",
        "The answer is about 60 pens left in all.",
        "Answer: Tom has 60 pens.\n#### 60",
        '{"reasoning": "", "answer": "60"}',
        r"\color{red}{\boxed{60}}",
    ],
)
def test_plain_answers_are_read(statement):
    assert StepVerifier()(PENS, f"{STEPS}\n{statement}").passed is True


@pytest.mark.parametrize("mark", HIDING)
def test_hidden_steps_earn_nothing(mark):
    assert judged(PENS, f"{mark % STEPS} The answer is 60.") is not True


@pytest.mark.parametrize(
    ("question", "solution"),
    [
        (ANIMALS, "17 + 29 = 45 46. 45 - 14 = 31. The answer is 31."),
        ("Tom gets 7 dollars for each of 8 hours. How much?", "7 * 8 = 56. The answer is 5600%."),
        ("Tom takes 12% of 72. How much is it?", "72 * 12% = 8.64. The answer is 864."),
        ("Tom bakes 10 pies for 3 friends on 7 days. How much?", "10/3*7 = 23.3. The answer is 23.1."),
        ("Tom shares 60 pens with 7 friends. How much each?", "60 / 7 = 9. The answer is 9."),
        ("Tom spends 17 dollars in 2 days. How much a day?", "17 / 2 = 8. The answer is 8."),
        ("Tom spends 17 dollars in 2 days. How much a day?", "17 / 2 = 9. The answer is 9."),
        (
            "At a celebration 3 boxes of 24 pens are shared by 7 kids. How many pens does each kid get?",
            "3 * 24 = 72. 72 / 7 = 10.2857. The answer is 10.2857.",
        ),
        ("Max has 4 - or 5 - extra boxes. How many?", "4 - 5 = -1. The answer is -1."),
    ],
)
def test_answers_that_are_no_results_or_not_possible_do_not_pass(question, solution):
    assert StepVerifier()(question, solution).passed is not True


def test_roundings_pass_where_they_are_asked_for():
    question = "17 people travel by cars with 2 seats each. At least how many cars do they need?"
    assert StepVerifier()(question, "17 / 2 = 9. The answer is 9.").score > -0.5
    share = "What percent of 25 is 14?"
    assert StepVerifier()(share, "14 / 25 = 0.56. The answer is 56%.").passed is True
    assert StepVerifier()(share, "14 / 25 = 56%. The answer is 56.").passed is True


@pytest.mark.parametrize(
    ("solution", "name"),
    [
        (STEPS, "answer"),
        (f"{STEPS} 60 + 17 = 77. The answer is 77.", "grounded"),
        ("3 * 24 = 72. 12 - 72 = -60. The answer is -60.", "plausible"),
        (f"{STEPS} If 3 + 24 = 26, then so be it. The answer is 60.", "difference"),
    ],
)
def test_blocks_cannot_be_outvoted_cheaply(solution, name):
    report = check_steps(solution, PENS)
    assert [block.name for block in report.blocks] == [name]
    verdict = StepVerifier()(PENS, solution)
    assert verdict.passed is False
    assert verdict.score <= -0.6
    assert verdict.reason == report.blocks[0].reason
    assert [check.reason for check in verdict.checks if check.blocks] == [verdict.reason]
