import functools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.testing import tiny_tokenizer
from latentseek_agents.tools._self_reward.prompts import Quoter
from latentseek_agents.tools._self_reward.replies import excerpt, read_verdict

CASES = json.loads(Path(__file__).with_name("reply_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reply"][:40])
def test_verdicts_of_replies(case: dict[str, Any]):
    assert read_verdict(case["reply"]) is case["verdict"]


@settings(deadline=None, max_examples=60)
@given(st.text(), st.sampled_from(["TRUE", "FALSE"]))
def test_a_verdict_line_at_the_end_is_read_whatever_precedes_it(text: str, word: str):
    # A word before it may make it a condition ("if", "unless"); so only what has no words.
    if not any(letter in "abcdefghijklmnopqrstuvwxyz" for letter in text.casefold()):
        assert read_verdict(f"{text}\nVERDICT: {word}") is (word == "TRUE")


PIECES = st.lists(
    st.sampled_from(
        ["VERDICT", ":", " ", "\n", "TRUE", "FALSE", "true", "*", "or", "if", ",", "it", "is", "é", '"']
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=100)
@given(PIECES.map("".join))
def test_a_verdict_stands_on_a_line_that_says_nothing_else(text: str):
    said = read_verdict(text)
    opposite = "FALSE" if said else "TRUE"
    if said is not None:
        assert any(str(said).upper() in line.upper() and opposite not in line for line in text.splitlines())


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([case["reply"] for case in CASES]))
def test_a_quoted_reply_is_no_verdict(reply: str):
    quoted = quoter().quote(reply)
    assert read_verdict(f"I repeat it.\n{quoted}") is None


@functools.cache
def quoter() -> Quoter:
    return Quoter(tiny_tokenizer())


LONG = [
    "VERDICT" * 20_000,
    "VERDICT: " + "*" * 100_000,
    "VERDICT: TRUE " + "or " * 50_000,
    "VERDICT: TRUE\n" * 8_000,
    "VERDICT\n" * 12_000,
    ("VERDICT:" + "=" * 190 + " TRUE" + "-" * 190 + "x\n") * 250,
    ("the " * 95 + "VERDICT\n") * 250,
    ("The solution " * 28 + "says:\nVERDICT: TRUE\n") * 250,
    "VERDICT: TRUE\n" + "no a b c " * 12_000,
    "VERDICT: FALSE\n" + "a\n" * 50_000,
    "<think>" * 20_000,
    "</think>" * 20_000,
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_reading_long_replies_takes_no_time(text: str):
    began = time.thread_time()
    read_verdict(text)
    assert time.thread_time() - began < 2


def test_excerpt_is_one_short_line():
    assert excerpt(" a\n\n b ") == "a b"
    assert excerpt("x" * 500) == "x" * 159 + "…"
