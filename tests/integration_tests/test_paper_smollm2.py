"""``LatentSeekConfig.paper()`` writes what a naive Algorithm 1 writes, text for text, on a real model."""

import pytest
import torch

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine.latents import Latents
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier
from tests import naive_algorithm

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


@pytest.mark.model
@pytest.mark.parametrize("question", QUESTIONS)
def test_paper_reproduces_the_naive_algorithm(smollm2: Backbone, question: str) -> None:
    config = LatentSeekConfig.paper(
        max_draft_tokens=DRAFT_LIMIT,
        max_new_tokens=CONTINUATION_LIMIT,
        max_iterations=ITERATIONS,
        prompt=brief,
    )
    prompt_ids = smollm2.encode_prompt(brief(question))
    draft = naive_algorithm.write_draft(smollm2.model, smollm2.tokenizer, prompt_ids, DRAFT_LIMIT)
    for learning_rate, fraction in SETTINGS:
        scores = iter(SCORES)
        expected = naive_algorithm.run(
            smollm2.model,
            smollm2.tokenizer,
            prompt_ids,
            lambda _text: next(scores),  # noqa: B023 - called before the next setting begins
            learning_rate=learning_rate,
            fraction=fraction,
            iterations=ITERATIONS,
            max_new_tokens=config.max_new_tokens,
            draft=draft,
        )
        graph = create_refine_graph(
            smollm2,
            verifier=ScriptedVerifier(SCORES),
            config=config.replace(learning_rate=learning_rate, fraction=fraction),
        ).compile()
        *_, state = graph.stream({"question": question}, stream_mode="values")
        assert [attempt["text"] for attempt in state["iterations"]] == expected.texts
        assert [attempt["token_ids"] for attempt in state["iterations"]] == expected.token_ids
        assert len(set(expected.texts)) > 2, "the latents hardly changed a token: this setting shows nothing"
        assert state["text"] == expected.texts[-1]
        assert expected.latents is not None
        moved = (expected.latents - Latents.from_bytes(state["search"]).values).abs()
        assert torch.quantile(moved, 0.99) < learning_rate / 10, (
            "beyond rounding: a step is the learning rate"
        )
