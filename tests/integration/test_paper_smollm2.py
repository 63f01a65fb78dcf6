"""``LatentSeekConfig.paper()`` writes what a naive Algorithm 1 writes, text for text, on a real model."""

from typing import Any

import pytest
import torch
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine.latents import Latents
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier
from tests.support import naive_algorithm

QUESTIONS = [
    "What is 17 + 25?",
    "What is 6 times 7?",
    "How many legs do 3 dogs have?",
    "Tom has 3 apples and buys 4 more. How many apples does he have?",
]
# Short, since the naive oracle pays a forward pass over the whole sequence for every token.
DRAFT_LIMIT, CONTINUATION_LIMIT = 20, 8
SETTINGS = [(0.03, 0.2), (0.05, 0.5)]
SCORES = [-1.0, -0.5, -0.8, -0.4, -1.0]
ITERATIONS = 4


def brief(question: str) -> list[dict[str, str]]:
    """A prompt of few tokens."""
    return [{"role": "system", "content": "Think step by step."}, {"role": "user", "content": question}]


def check(backbone: Backbone, question: str, draft: Any, config: LatentSeekConfig) -> list[str]:
    """Compare one search with the naive one; returns the texts."""
    scores = iter(SCORES)
    expected = naive_algorithm.run(
        backbone.model,
        backbone.tokenizer,
        backbone.encode_prompt(brief(question)),
        lambda _text: next(scores),
        learning_rate=config.learning_rate,
        fraction=config.fraction,
        iterations=ITERATIONS,
        max_new_tokens=config.max_new_tokens,
        draft=draft,
    )
    saver = InMemorySaver()
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    graph: Any = create_refine_graph(backbone, verifier=ScriptedVerifier(SCORES), config=config).compile(
        saver
    )
    state = graph.invoke({"question": question}, thread)
    # The state shows no latents, and they are cleared at the end: the last ones are in a checkpoint.
    stored = [checkpoint.checkpoint["channel_values"].get("latents") for checkpoint in saver.list(thread)]
    latents = Latents.from_bytes(next(data for data in stored if data))
    assert [attempt["text"] for attempt in state["iterations"]] == expected.texts
    assert [attempt["token_ids"] for attempt in state["iterations"]] == expected.token_ids
    assert state["text"] == expected.texts[-1]
    assert expected.latents is not None
    moved = (expected.latents - latents.values).abs()
    assert torch.quantile(moved, 0.99) < config.learning_rate / 10, "beyond rounding: a step is one rate"
    return expected.texts


def settings(**changes: Any) -> LatentSeekConfig:
    """The paper's settings with short limits."""
    limits = {"max_draft_tokens": DRAFT_LIMIT, "max_new_tokens": CONTINUATION_LIMIT}
    return LatentSeekConfig.paper(**{**limits, "max_iterations": ITERATIONS, "prompt": brief, **changes})


@pytest.mark.model
@pytest.mark.parametrize("question", QUESTIONS)
def test_paper_reproduces_the_naive_algorithm(smollm2: Backbone, question: str) -> None:
    prompt_ids = smollm2.encode_prompt(brief(question))
    draft = naive_algorithm.write_draft(smollm2.model, smollm2.tokenizer, prompt_ids, DRAFT_LIMIT)
    for learning_rate, fraction in SETTINGS:
        texts = check(smollm2, question, draft, settings(learning_rate=learning_rate, fraction=fraction))
        assert len(set(texts)) > 2, "the latents hardly changed a token: this setting shows nothing"


@pytest.mark.model
def test_an_end_token_among_the_latents_ends_nothing(smollm2: Backbone) -> None:
    question = "What colour is the sky? One word."
    prompt_ids = smollm2.encode_prompt(brief(question))
    draft = naive_algorithm.write_draft(smollm2.model, smollm2.tokenizer, prompt_ids, 60)
    assert draft[0][-1] == smollm2.tokenizer.eos_token_id, "this draft was to end by itself"
    check(smollm2, question, draft, settings(fraction=1.0, max_draft_tokens=60))
