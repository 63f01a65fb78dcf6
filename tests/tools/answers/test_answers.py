"""Finding the final answer, and the promises of ``answers_match`` as a whole."""

import threading
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latentseek_agents.tools.answers import answers_match, extract_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{42}.", "42"),
        (r"First \boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\fbox{7}", "7"),
        (r"\boxed{\boxed{9}}", "9"),
        (r"\boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
        (r"\boxed{3} and \boxed{4", "3"),
        (r"\boxed{3} and \boxed{}", "3"),
        (r"\boxed 8", "8"),
        ("2 + 3 = 5\n#### 5", "5"),
        ("#### 1 #### 2", "2"),
        ("#### Step 1: add\nThe answer is 6.", "6"),
        ("#### Final Answer\n\n12", "12"),
        ('{"thought process": "2 + 3", "final answer": "5"}', "5"),
        ('{"final answer": 5.5}', "5.5"),
        ('{"thought process": "...", "final answer": "5', "5"),
        (r'{"thought process": "\\boxed{1}", "final answer": "\\boxed{\\frac{1}{2}}"}', r"\frac{1}{2}"),
        (r'{"final answer": "\frac{1}{2}"}', r"\frac{1}{2}"),
        ("{'answer': [1, 2]}", "[1, 2]"),
        (r'{"final_answer": "2 \u03c0"}', "2 π"),
        ("Therefore the final answer is 17 apples.", "17 apples"),
        ("The answer is 3.5, because 7/2 = 3.5.", "3.5"),
        ("The answer is: $12$\n", "$12$"),
        ("The answer is:\n\\[ x^2 \\]\nDone.", "x^2"),
        ("Answer: 12", "12"),
        ("**Answer:** 12 km", "12 km"),
        ("A: 26", "26"),
        (r"\text{Answer: }42", "42"),
        (r"It is \boxed{5}.<|im_end|>", "5"),
        ("The answer is 5<|eot_id|><|end_of_text|>", "5"),
        ("The answer is 4. No, the answer is 5.</s>", "5"),
        ("Final Answer: The final answer is $3$. I hope it is correct.", "$3$"),
    ],
)
def test_answer_is_found(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("block", "answer"),
    [
        ("```\n72\n```", "72"),
        ("```text\n72", "72"),
        ("~~~\n$72$\n~~~\nDone.", "$72$"),
        ("```latex\n\\frac{1}{2}\n```", r"\frac{1}{2}"),
        ("```\r\n72\r\n```", "72"),
        ("```\n\n72\n\n```", "72"),
        ("```\nx + 2\n```", "x + 2"),
        ("```json\n72\n```", "72"),
        ("```python\n72\n```", "72"),
        ('```json\n{"final answer": 72}\n```', "72"),
        ("```72```", "72"),
        ("```72\n```", "72"),
        ("``` 72\n```", "72"),
        ("``` /72\n```", "/72"),
        ("```x+2\n```", "x+2"),
        ("```-5\n```", "-5"),
        ("```C\n```", "C"),
        ("```Paris\n```", "Paris"),
        ("```json\n{", None),
        ('```json\n{\n  "thought process": "3 * 24', None),
        ('```json\n{"thought process": "3 * 24 = 72. The', None),
        ('```json\n{"result": 72}\n```', None),
        ('```\n{"result": 72}\n```', None),
        ("```python\nprint(72)\n```", None),
        ("```\nprint(72)\n```", None),
        ("```\nimport math", None),
        ("```\ndef solve(a):", None),
        ("```\nTotal", None),
        ("```\nx = 72\nprint(x)\n```", None),
        ("```json\r\n{", None),
        ("```c#\nint x = 72;\n```", None),
        ("```{python}\nx = 72\n```", None),
        ("```python title=sum.py\nx = 72\n```", None),
        ("```text/plain\n72\n```", "72"),
        ("```\n```", None),
        ("```json", None),
        ("```", None),
    ],
)
@pytest.mark.parametrize("announced", ["Thus, the final answer is:", "### Final Answer", "Final answer:"])
def test_in_a_block_of_code_only_a_line_of_its_own_is_an_answer(
    announced: str, block: str, answer: str | None
) -> None:
    assert extract_answer(f"{announced}\n{block}") == answer
    assert extract_answer(f"Answer: 5.\n{announced}\n{block}") == (answer or "5")


@pytest.mark.parametrize("marker", ["<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<end_of_turn>"])
def test_nothing_behind_an_end_marker_counts(marker: str) -> None:
    assert extract_answer(rf"So \boxed{{5}}{marker}\nHuman: And 4 + 4?\nIt is \boxed{{8}}.") == "5"
    assert extract_answer(f"The answer is 5.{marker}{marker} The answer is 8.") == "5"
    assert extract_answer(f"I see no way.{marker} The answer is 8.") is None
    assert extract_answer(f"{marker}The answer is 8.") == "8"
    assert answers_match(f"5{marker} 8", "5")


@pytest.mark.parametrize(
    "turn",
    [
        "\nQuestion:",
        "\nUser:",
        "\nHuman: ",
        "\n\n**Question:** ",
        "\nQ: ",
        "<|im_start|>user\n",
        "\n### Question\n",
    ],
)
def test_an_invented_next_turn_does_not_count(turn: str) -> None:
    assert extract_answer(f"2 + 3 = 5\n#### 5{turn}What is 4 + 4?\n#### 8") == "5"
    assert extract_answer(f"The answer is 5.{turn}What is 4 + 4? The answer is 8.") == "5"
    # What is left of this solution states no answer, and another question's answer is none.
    assert extract_answer(f"2 + 3 = 5 apples{turn}What is 4 + 4?\n#### 8") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Question: What is 4 + 4?\nAnswer: 8", "8"),
        ("\nQuestion: What is 4 + 4?\n#### 8", "8"),
        ("Let me repeat it.\nQuestion: What is 4 + 4?\n#### 8", "8"),
        ("Question 1: 2 + 3 = 5\nQuestion 2: 4 + 4 = 8\n#### 8", "8"),
        ("<|im_start|>assistant\n4 + 4 = 8\n#### 8<|im_end|>", "8"),
        ("<|im_start|>user\nWhat is 4 + 4?<|im_end|>\n<|im_start|>assistant\n#### 8<|im_end|>", "8"),
        ("<s>4 + 4 = 8\n#### 8</s>", "8"),
        ("The question: 4 + 4. The user: me. #### 8", "8"),
    ],
)
def test_what_only_looks_like_a_next_turn_is_kept(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_a_runaway_reply_may_be_long() -> None:
    assert extract_answer("2 + 3 = 5\n#### 5" + "\nQuestion: 4 + 4?\n#### 8" * 50_000) == "5"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "48 / 2 = 24",
        "x = 5",
        "####",
        r"\boxed{}",
        r"\boxed{",
        "I do not know.",
        "The answer is",
        "Answer:",
        "\\",
        "{}",
        "$$",
    ],
)
def test_no_answer_is_none(text: str) -> None:
    assert extract_answer(text) is None


def test_the_end_of_a_long_text_counts() -> None:
    assert extract_answer(r"\boxed{1} " + "x = y. " * 200_000 + r"\boxed{2}") == "2"


HOSTILE = {
    "boxes": r"\boxed{" * 40_000,
    "closed boxes": r"\boxed{" * 20_000 + "}" * 20_000,
    "blanks": " " * 300_000,
    "lines": "\n" * 300_000,
    "backslashes": "\\" * 300_000,
    "hashes": "#" * 300_000,
    "heads": "####\n" * 60_000,
    "keys": '"answer": ' * 30_000,
    "open lists": '"answer": [' * 30_000,
    "open strings": '"answer": "\\' * 30_000,
    "phrases": "the answer is " * 20_000,
    "phrase and blanks": "the answer is" + " " * 200_000,
    "labels": "answer: " * 40_000,
    "tokens": "<|im_end|>" * 30_000,
    "angles": "<" * 300_000 + ">",
    "stars": "*" * 300_000,
    "commas": "the answer is " + "," * 200_000,
    "braces": "{" * 300_000,
    "digits": r"\boxed{" + "9" * 30_000 + "}",
    "display": "the answer is $$" * 10_000,
    "ends": "</s>" * 60_000,
    "ends of nothing": "<|im_end|> " * 30_000 + "5",
    "turns": "\nQuestion:" * 30_000 + "5",
    "line breaks and blanks": ("\n" + " " * 25) * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_takes_linear_time(text: str) -> None:
    start = time.thread_time()  # other processes do not count
    extract_answer(text)
    answers_match(text, "5")
    answers_match("5", text)
    assert time.thread_time() - start < 2.0


@pytest.mark.parametrize(
    "prediction", ["72", "#### 72", r"\boxed{72}", "The answer is 72.", "72.0<|im_end|>", '{"answer": 72}']
)
def test_markers_do_not_matter(prediction: str) -> None:
    assert answers_match(prediction, "72")
    assert answers_match(prediction, "#### 72")
    assert not answers_match(prediction, "73")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is within the specified constraints.", None),
        ("The answer is indeed correct.", None),
        ("The answer is 12. The answer is consistent with the question.", "12"),
        ("The answer is obtained by adding both.", None),
        ("The answer is as follows: 5", "5"),
        ("The answer is within $3$ units.", "within $3$ units"),
        ("The answer is calculated as follows: x + y", "x + y"),
        ("The answer is found to be ½.", "½"),
        ("The answer is found to be twelve", "twelve"),
        (r"The answer is computed as \frac{1}{2}", r"\frac{1}{2}"),
        ("The answer is shown to be infinity", "infinity"),
        ("The answer is correct option C", "correct option C"),
        ("Answer: correct", "correct"),
        ("The answer is Paris.", "Paris"),
    ],
)
def test_a_remark_on_an_answer_is_none(text: str, expected: str | None) -> None:
    assert extract_answer(text) == expected


def test_a_sentence_inside_text_is_a_marker() -> None:
    assert answers_match(r"\text{The answer is } 31", "31")


def test_nothing_matches_nothing() -> None:
    assert not answers_match("", "")
    assert not answers_match(r"\boxed{}", r"\boxed{}")
    assert not answers_match("", "0")


_FRAGMENTS = (
    r"\frac { } 1 2 12 \sqrt x ( ) [ ] , \pi + - ^ \pm = < \cup \infty \begin{pmatrix} \end{pmatrix} "
    r"\\ & | ! \log _ : % cm apples and or"
)
ANSWERS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=r"0123456789.,/+-*^_{}()[]\|!%$ xyeipnabc=<>:", max_size=30),
    st.lists(st.sampled_from(_FRAGMENTS.split()), max_size=14).map("".join),
)


@settings(max_examples=80, deadline=None)
@given(ANSWERS, ANSWERS)
def test_never_raises_and_is_symmetric(first: str, second: str) -> None:
    # But for a base, which an answer may leave out if the reference names it.
    assume("_" not in first + second)
    assert answers_match(first, second) == answers_match(second, first)


@settings(max_examples=80, deadline=None)
@given(ANSWERS)
def test_is_reflexive(answer: str) -> None:
    if answer.strip() and answers_match(answer, answer) is False:
        # Only what carries no answer at all is unlike itself.
        assert not any(character.isalnum() for character in (extract_answer(answer) or ""))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_extraction_never_raises(text: str) -> None:
    answer = extract_answer(text)
    assert answer is None or answer.strip()


@settings(max_examples=60, deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_match_exactly_when_equal(first: object, second: object) -> None:
    a, b = (rf"\frac{{{f.numerator}}}{{{f.denominator}}}" for f in (first, second))  # type: ignore[attr-defined]
    assert answers_match(a, str(first))
    assert answers_match(a, b) == (first == second)


def test_many_threads_at_once() -> None:
    pairs = [(rf"\sqrt{{{n * n * 2}}}", rf"{n}\sqrt2", rf"{n + 1}\sqrt2") for n in range(2, 34)]
    results: list[tuple[bool, bool]] = []

    def work(prediction: str, same: str, other: str) -> None:
        results.append((answers_match(prediction, same), answers_match(prediction, other)))

    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(True, False)] * len(pairs)
