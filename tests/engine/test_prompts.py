"""From a question to messages."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.errors import ConfigError, InputError


def test_boxed_asks_for_a_box_and_leaves_the_question_alone():
    made: Any = prompt_for("How many {apples}?", "boxed")
    system, user = made
    assert system == {
        "role": "system",
        "content": r"Please reason step by step, and put your final answer within \boxed{}.",
    }
    assert user == {"role": "user", "content": "How many {apples}?"}


@settings(deadline=None)
@given(st.text(min_size=1).filter(str.strip))
def test_json_holds_the_question_whatever_it_contains(question: str):
    made: Any = prompt_for(question, "json")
    system, user = made
    assert (system["role"], user["role"]) == ("system", "user")
    content = user["content"]
    assert content.startswith(f"QUESTION: {question}\n")
    assert content.endswith('Like this: {"thought process": "...", "final answer": "..."}')


def test_an_example_stands_before_the_question_and_is_not_shared():
    made: Any = prompt_for("How many {apples}?", "example")
    assert [message["role"] for message in made] == ["system", "user", "assistant", "user"]
    assert made[-1]["content"] == "How many {apples}?"
    assert "2 * 9 = 18" in made[2]["content"]
    made[0]["content"] = "changed"
    again: Any = prompt_for("?", "example")
    assert again[0]["content"].startswith("Solve the problem")


def test_a_function_may_return_a_string():
    assert prompt_for("1 + 1?", lambda question: f"Q: {question} A:") == "Q: 1 + 1? A:"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}],
        [("system", "Be brief."), ("human", "1 + 1?")],
        (SystemMessage("Be brief."), HumanMessage("1 + 1?")),
    ],
)
def test_a_function_may_return_messages_of_any_kind(messages: Any):
    assert prompt_for("1 + 1?", lambda question: messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
    ]


def test_a_function_may_return_token_ids():
    assert prompt_for("?", lambda question: (5, 6, 7)) == [5, 6, 7]


def test_an_answer_in_a_prompt_is_the_assistants():
    assert prompt_for("?", lambda question: [AIMessage("2")]) == [{"role": "assistant", "content": "2"}]


@pytest.mark.parametrize("question", ["", " ", "\n\t\u3000"])
@pytest.mark.parametrize("prompt", ["boxed", "json", str])
def test_an_empty_question_is_refused(question: str, prompt: Any):
    with pytest.raises(InputError, match="the question is empty; write what is to be solved"):
        prompt_for(question, prompt)


@pytest.mark.parametrize("question", [None, 3, ["?"], b"?"])
def test_a_question_that_is_no_string_is_named(question: Any):
    with pytest.raises(InputError, match=f"must be a string, but is a {type(question).__name__}"):
        prompt_for(question, "boxed")


@pytest.mark.parametrize("made", [None, 3, [], (), {"role": "user"}, b"bytes"])
def test_a_function_that_returns_something_else_is_refused(made: Any):
    with pytest.raises(
        ConfigError, match=r"must return a string, a list of messages or token ids|needs a role"
    ):
        prompt_for("?", lambda question: made)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"content": "x"},
        {"role": "user", "content": ["x"]},
        ("user",),
        SimpleNamespace(type="human"),
    ],
)
def test_a_message_without_role_or_text_is_refused(message: Any):
    with pytest.raises(ConfigError, match="a prompt message needs a role and a text content, but is"):
        prompt_for("?", lambda question: [message])


def test_an_unknown_prompt_is_refused():
    with pytest.raises(
        ConfigError, match="prompt='xml' is unknown; use 'boxed', 'json', 'example' or a function"
    ):
        prompt_for("?", "xml")  # type: ignore[arg-type]
