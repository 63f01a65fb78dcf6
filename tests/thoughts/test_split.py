"""Thoughts and answers: texts of the families, what only looks like a tag, what holds for any text."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.thoughts import (
    ANY_FORMAT,
    AnswerView,
    ThoughtFormat,
    ThoughtStream,
    TokenMarks,
    answer_part,
    split_thoughts,
)
from latentseek_agents.tools import extract_answer

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("split_cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def named(case: dict[str, Any]) -> str:
    return f"{case['kind']}: {case['text'][:30]!r}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_text_is_taken_apart(case: dict[str, Any]) -> None:
    split = split_thoughts(case["text"], opened=case.get("opened", False))
    assert (split.thinking, split.text) == (case["thinking"], case["answer_text"])
    assert split.cut_off is case.get("cut_off", False)
    assert extract_answer(split.text) == case["answer"]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_stream_shows_what_the_whole_text_says(case: dict[str, Any]) -> None:
    opened = case.get("opened", False)
    for size in (1, 7):
        stream = ThoughtStream(opened=opened)
        shown = ("", "")
        for start in range(0, len(case["text"]), size):
            stream.add(case["text"][start : start + size])
            now = (stream.thinking, stream.text)
            assert now[0].startswith(shown[0])
            assert now[1].startswith(shown[1])
            shown = now
        ended = stream.finish()
        assert ended.thinking.startswith(shown[0])
        assert ended.text.startswith(shown[1])
        if case["kind"] != "unopened" or opened:  # what was shown cannot become a thought
            assert (ended.thinking, ended.text) == (case["thinking"], case["answer_text"])


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40


def test_a_long_thought_is_streamed_as_it_comes() -> None:
    stream = ThoughtStream(opened=True)
    for _ in range(100):
        stream.add("word ")
    assert stream.thinking == ("word " * 100).strip()


PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<thinking>", "</thinking>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷"),
        *("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|end|>", "<|start|>assistant"),
        *(
            "```",
            "```python\n",
            "`",
            '"',
            "\n",
            " ",
            "4",
            "the ",
            " tag ",
            "Here is my response:",
            "analysisWe",
        ),
        *("<|START_THINKING|>", "<|END_THINKING|>", "<reasoning>", "</reasoning>", "<|begin_of_solution|>"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=14).map("".join)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.booleans(), st.booleans())
def test_nothing_is_lost(text: str, opened: bool, implicit: bool) -> None:
    split = split_thoughts(text, opened=opened, implicit=implicit)
    assert "".join(text[part.start : part.end] for part in split.parts) == text
    for kind, said in (("thinking", split.thinking), ("text", split.text)):
        passages = "".join(text[part.start : part.end] for part in split.parts if part.kind == kind)
        assert "".join(passages.split()) == "".join(said.split())
    marks = [text[part.start : part.end] for part in split.parts if part.kind == "mark"]
    assert all(any(sign in mark for sign in "<[◁") or mark.strip()[:1].isalpha() for mark in marks)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.booleans())
def test_what_a_stream_shows_stays(text: str, opened: bool) -> None:
    stream = ThoughtStream(opened=opened)
    shown = ("", "")
    for sign in text:
        stream.add(sign)
        now = (stream.thinking, stream.text)
        assert now[0].startswith(shown[0])
        assert now[1].startswith(shown[1])
        shown = now
    ended = stream.finish()
    assert ended.thinking.startswith(shown[0])
    assert ended.text.startswith(shown[1])


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_a_view_of_the_answer_knows_the_places(text: str) -> None:
    view = AnswerView(text)
    gaps = 0
    for index, sign in enumerate(view.text):
        start, end = view.span((index, index + 1))
        if text[start:end] != sign:
            gaps += 1
            assert sign == "\n"  # between two passages
    assert gaps <= 2 * len(split_thoughts(text).parts)
    assert "".join(view.text.split()) == "".join(split_thoughts(text).text.split())


@given(st.text(alphabet=st.characters(blacklist_characters="<[◁`"), max_size=60))
def test_a_text_without_marks_is_an_answer(text: str) -> None:
    if not text.lstrip().startswith("analysis"):
        assert answer_part(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 10_000,
        "</think>" * 10_000,
        "<think><think></think>" * 4_000,
        "`<think>" * 10_000,
        "` `` ``` " * 10_000 + "<think>",
        "```\n<think>\n" * 8_000,
        "<|channel|>" * 10_000,
        "<|start|>assistant<|channel|>analysis<|message|>" * 3_000,
        "the <think> " * 10_000,
        " " * 100_000 + "<think>" + " " * 100_000,
        "x<think>" * 10_000 + "</think>",
        "<think>`</think>" * 5_000,
        "<think>x by </think> a\n" * 4_000,
        "`` " + "` ` <think>" * 8_000,
        "<think>``` " + "` ` </think>" * 8_000,
        "````\n" + "```\n<think></think>" * 4_000,
    ],
    ids=lambda text: text[:20],
)
def test_hostile_texts_take_little_time(text: str) -> None:
    began = time.process_time()
    split_thoughts(text)
    assert time.process_time() - began < 2


def test_tokens_say_what_is_a_mark() -> None:
    text = "[THINK]A spelled [/THINK] is none,[/THINK]`a [THINK] in code`"
    ends = text.index(",[/THINK]") + 1
    mistral = ThoughtFormat(frozenset({"mistral"}))
    known = TokenMarks.of(text, places=[0, ends], spellings=("[THINK]", "[/THINK]"))
    split = split_thoughts(text, mistral, tokens=known)
    assert (split.thinking, split.text) == ("A spelled [/THINK] is none,", "`a [THINK] in code`")
    stream = ThoughtStream(mistral, spellings=("[THINK]", "[/THINK]"))
    for piece in ("[THINK]", "A spelled [/TH", "INK] is none,", "[/THINK]", "`a [THINK] in code`"):
        stream.add(piece, is_mark=piece.startswith("["))
    assert stream.text == "`a [THINK] in code`"
    assert stream.finish() == split


def test_a_budget_ends_the_thought_that_is_open() -> None:
    text = "<think>a\n```x\n</think>\n\n```\n</think>\n4"
    assert split_thoughts(text).text == "4"
    known = TokenMarks.of(text, ended=[text.index("\n</think>")])
    assert split_thoughts(text, tokens=known).text.split() == ["```", "4"]


class Tokenizer:
    """One that has templates and nothing else."""

    def __init__(self, chat_template: Any = None, response_template: Any = None) -> None:
        self.chat_template = chat_template
        self.response_template = response_template


FORMATS: list[tuple[Tokenizer, set[str]]] = [
    (Tokenizer("{% if '</think>' in content %}...{{ '<think>\n' }}"), {"think"}),
    (Tokenizer("[SYSTEM_PROMPT]...[THINK]{{ block.thinking }}[/THINK]"), {"mistral"}),
    (Tokenizer("<|start|>assistant<|channel|>analysis<|message|>"), {"harmony"}),
    (Tokenizer("<|START_THINKING|>"), {"cohere"}),
    (Tokenizer({"default": "x", "tool_use": "<thinking>"}), {"thinking"}),
    (Tokenizer("x", {"fields": {"thinking": {"open": "<thought>", "close": "</thought>"}}}), {"thought"}),
]


@pytest.mark.parametrize(("tokenizer", "names"), FORMATS)
def test_the_template_says_which_marks_count(tokenizer: Tokenizer, names: set[str]) -> None:
    known = ThoughtFormat.of(tokenizer)
    assert known.known
    assert known.names == names


@pytest.mark.parametrize("tokenizer", [Tokenizer(), Tokenizer("{{ messages }}"), object()])
def test_without_a_word_in_the_template_any_mark_counts(tokenizer: Any) -> None:
    assert ThoughtFormat.of(tokenizer) is ANY_FORMAT


def test_a_known_mark_at_the_end_of_a_prompt_opens_a_thought() -> None:
    assert ThoughtFormat(frozenset({"think"})).is_opened_by("What is 2 + 2? <think>")


def test_marks_of_other_families_are_prose() -> None:
    mistral = ThoughtFormat(frozenset({"mistral"}))
    text = "[THINK]Hm.[/THINK]<think>5</think> \\boxed{4}"
    assert split_thoughts(text, mistral).text == "<think>5</think> \\boxed{4}"


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<|im_start|>assistant\n", False),
        ("[/INST][THINK]", True),
        ("<|start|>assistant<|channel|>analysis<|message|>", True),
        ("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n", False),
        ("What is meant by <think>", False),
        ("What is meant by <|channel|>analysis<|message|>", False),
        ("What is 2 + 2?\n\nAnswer: <think>\n", True),
    ],
)
def test_a_prompt_may_open_the_thought(prompt: str, opened: bool) -> None:
    assert ANY_FORMAT.is_opened_by(prompt) is opened
