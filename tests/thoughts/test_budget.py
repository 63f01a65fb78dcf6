"""The budget of a thought, switches of templates, and which part of a draft has latents: on tiny models."""

from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, ChatLatentSeek, ConfigError, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._thought_constraint import closings_of
from latentseek_agents.engine.sampling import sample
from latentseek_agents.engine.search import draft, prompt_token_ids, refine
from latentseek_agents.engine.thinking import template_options
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_model, tiny_tokenizer

OPENS = "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
QUESTION = "What is 2 + 2?"
CLOSING = "\n</think>\n\n"


def thinking_backbone(seed: int = 0) -> Backbone:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template += OPENS
    return Backbone.from_model(tiny_model(seed=seed), tokenizer)


@torch.no_grad()
def naive(backbone: Backbone, prompt_ids: list[int], budget: int, limit: int) -> list[int]:
    """Greedy, a pass per token, with the closing mark after ``budget`` tokens."""
    closing = list(backbone.tokenizer(CLOSING, add_special_tokens=False)["input_ids"])
    written: list[int] = []
    while len(written) < limit:
        if budget <= len(written) < budget + len(closing):
            written.append(closing[len(written) - budget])
            continue
        logits = backbone.model(torch.tensor([[*prompt_ids, *written]])).logits[0, -1]
        if len(written) < budget:  # no end within the thought
            logits[list(backbone.eos_token_ids)] = -torch.inf
        written.append(int(logits.argmax()))
        if written[-1] in backbone.eos_token_ids:
            break
    return written


@pytest.mark.parametrize("seed", [0, 1])
def test_a_thought_is_closed_at_its_budget_and_the_model_writes_on(seed: int) -> None:
    backbone = thinking_backbone(seed)
    config = LatentSeekConfig(max_thinking_tokens=7, max_new_tokens=32, fraction=1.0)
    step = draft(backbone, QUESTION, config)
    expected = naive(backbone, prompt_token_ids(backbone, QUESTION, config), 7, 32)
    assert step.attempts[0].token_ids == expected
    assert len(expected) > 7 + len(CLOSING)
    attempt = step.attempts[0]
    assert attempt.thinking == backbone.decode(expected[:7]).strip()
    assert len(attempt.latent_token_ids) == 7  # none at the mark that was put in


@pytest.mark.parametrize("latents", ["independent", "consistent"])
def test_refinements_keep_to_the_budget(latents: Any) -> None:
    backbone = thinking_backbone()
    config = LatentSeekConfig(
        max_thinking_tokens=7, max_new_tokens=32, fraction=0.1, latents=latents, learning_rate=0.5
    )
    step = draft(backbone, QUESTION, config)
    for _ in range(3):
        samples = [
            attempt.judged(ScriptedVerifier()(QUESTION, ""), passed=False) for attempt in step.attempts
        ]
        step = refine(backbone, QUESTION, config, latents=step.latents, samples=samples)
        text = backbone.decode(step.attempts[0].token_ids[:7])
        assert "</think>" in text or backbone.decode(step.attempts[0].token_ids[7:]).startswith(CLOSING)


def test_samples_have_budgets_of_their_own() -> None:
    backbone = thinking_backbone()
    config = LatentSeekConfig(max_thinking_tokens=7, max_new_tokens=32)
    for attempt in sample(backbone, QUESTION, config, count=3, temperature=1.0).attempts:
        assert backbone.decode(attempt.token_ids[7:]).startswith(CLOSING)


@pytest.mark.parametrize("opened", [True, False])
def test_with_a_budget_a_thought_does_not_end_the_completion(opened: bool) -> None:
    """A model that would end at once, with or without a prompt that opens the thought."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    ends = [tokenizer.eos_token_id]
    with torch.no_grad():  # the end token is the most probable one, wherever it may stand
        model.lm_head.weight[ends] = 0
        model.lm_head.bias = torch.nn.Parameter(torch.zeros(259))
        model.lm_head.bias[ends] = 1000.0
    tokenizer.chat_template += OPENS if opened else "{# <think></think> #}"
    backbone = Backbone.from_model(model, tokenizer)
    free = LatentSeekConfig(max_new_tokens=32)
    bounded = free.replace(max_thinking_tokens=7)
    assert draft(backbone, QUESTION, free).attempts[0].token_ids == ends
    written = draft(backbone, QUESTION, bounded).attempts[0].token_ids
    if opened:
        assert backbone.decode(written[7:]).startswith(CLOSING)
        assert written[-1] == ends[0]
        assert not set(ends) & set(written[:-1])
    else:
        assert written == ends, "without a thought the budget changes nothing"


def test_a_scripted_thought_that_ends_early_is_closed() -> None:
    backbone = scripted_backbone(["<think>Hm."])
    config = LatentSeekConfig(max_thinking_tokens=40, max_iterations=0)
    attempt = LatentSeek(backbone, ScriptedVerifier([0.0]), config).invoke(QUESTION).iterations[0]
    assert (attempt.thinking, attempt.text) == ("Hm.", "")
    assert backbone.decode(attempt.token_ids).endswith("</think>\n\n")


@pytest.mark.parametrize("latents", ["independent", "consistent"])
def test_latents_over_the_answer_leave_the_thought_as_it_is(latents: Any) -> None:
    backbone = thinking_backbone()
    config = LatentSeekConfig(
        max_thinking_tokens=7,
        max_new_tokens=32,
        fraction=1.0,
        latents=latents,
        latents_over="answer",
        learning_rate=1.0,
    )
    step = draft(backbone, QUESTION, config)
    first = step.attempts[0]
    start = 7 + len(CLOSING.rstrip())
    assert first.latent_start == start
    assert first.latent_token_ids == first.token_ids[start:]
    judged = [attempt.judged(ScriptedVerifier()(QUESTION, ""), passed=False) for attempt in step.attempts]
    second = refine(backbone, QUESTION, config, latents=step.latents, samples=judged).attempts[0]
    assert second.token_ids[:start] == first.token_ids[:start]
    assert (second.thinking, second.changed != []) == (first.thinking, True)


MARKS = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>")


@pytest.mark.parametrize(
    ("script", "template", "special", "closing"),
    [
        ("<think>" + "and so on " * 20, "", (), "</think>"),
        ("[THINK]" + "and so on " * 20, "{# [THINK][/THINK] #}", ("[THINK]", "[/THINK]"), "[/THINK]"),
        (
            "<|channel|>analysis<|message|>" + "and so on " * 20,
            "{# <|channel|>analysis<|message|> #}",
            MARKS,
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_a_thought_is_closed_in_the_model_s_own_way(
    script: str, template: str, special: tuple[str, ...], closing: str
) -> None:
    tokenizer = tiny_tokenizer()
    if special:
        tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template += template
    backbone = scripted_backbone([script], tokenizer)
    config = LatentSeekConfig(max_thinking_tokens=40, max_iterations=0)
    attempt = LatentSeek(backbone, ScriptedVerifier([0.0]), config).invoke(QUESTION).iterations[0]
    assert closing in backbone.decode(attempt.token_ids, skip_special_tokens=False)
    assert attempt.thinking.startswith("and so on")
    assert "and so on" in attempt.text  # what the script goes on with


FENCED = "Code:\n```\nprint(5) # and so on and so on"


def test_where_the_budget_closes_a_thought_it_ends() -> None:
    """Whatever code was open there."""
    answer = "```\nprint(4)\n```\nIt is 4."
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template += OPENS
    backbone = scripted_backbone([FENCED[:30] + answer], tokenizer)
    config = LatentSeekConfig(max_thinking_tokens=30, max_iterations=0, max_new_tokens=200)
    result = LatentSeek(backbone, ScriptedVerifier([0.0]), config).invoke(QUESTION)
    attempt = result.iterations[0]
    assert backbone.decode(attempt.token_ids) == FENCED[:30] + CLOSING + answer
    assert attempt.thinking == FENCED[:30]
    assert attempt.text == answer
    assert result.usage.policy_thinking_tokens == len(FENCED[:30] + "\n")
    chat = ChatLatentSeek(
        backbone=scripted_backbone([FENCED[:30] + answer], tokenizer), config=config, max_tokens=200
    )
    streamed: list[Any] = list(chat.stream(QUESTION))
    for message in (chat.invoke(QUESTION), sum(streamed[1:], streamed[0])):
        assert message.content == attempt.text
        assert message.additional_kwargs["reasoning_content"] == FENCED[:30]
    refined = ChatLatentSeek(
        backbone=scripted_backbone([FENCED[:30] + answer], tokenizer),
        verifier=ScriptedVerifier([0.0]),
        config=config,
        max_tokens=200,
    ).invoke(QUESTION)
    assert refined.content == attempt.text


def test_no_later_mark_moves_the_end_that_a_budget_set() -> None:
    backbone = thinking_backbone()
    thought, answer = "I <think> of ```x", "```, \n</think>\nIt is 4."
    ids = backbone.tokenizer(thought + CLOSING + answer, add_special_tokens=False)["input_ids"]
    prompt_ids = prompt_token_ids(backbone, QUESTION, LatentSeekConfig())
    assert backbone.split(ids, prompt_ids).text == "It is 4."
    closed = closings_of(backbone, prompt_ids, ids, len(thought))
    assert closed == [len(thought)]
    split = backbone.split(ids, prompt_ids, closed=closed)
    assert (split.thinking, split.text) == (thought, "```, \nIt is 4.")
    assert backbone.thought_tokens(ids, prompt_ids, closed=closed) == len(thought + "\n")
    assert closings_of(backbone, prompt_ids, ids, len(thought) - 1) == [], "it was not put in there"


def test_without_a_thought_a_budget_changes_nothing() -> None:
    backbone = Backbone.from_model(tiny_model(), tiny_tokenizer())
    config = LatentSeekConfig(max_new_tokens=32)
    bounded = config.replace(max_thinking_tokens=4)
    assert draft(backbone, QUESTION, bounded).attempts == draft(backbone, QUESTION, config).attempts


@pytest.mark.parametrize(
    ("over", "part"),
    [("both", "<think>One two.</think>\n\nIt is 4."), ("thinking", "One two."), ("answer", "It is 4.")],
)
def test_latents_lie_over_the_part_that_is_asked_for(over: Any, part: str) -> None:
    script = "<think>One two.</think>\n\nIt is 4."
    backbone = scripted_backbone([script])
    config = LatentSeekConfig(latents_over=over, fraction=1.0)
    attempt = draft(backbone, QUESTION, config).attempts[0]
    assert backbone.decode(attempt.latent_token_ids).strip() == part
    start = attempt.latent_start
    assert attempt.token_ids[start : start + len(attempt.latent_token_ids)] == attempt.latent_token_ids


def test_a_draft_without_a_thought_is_one_part() -> None:
    for over in ("thinking", "answer"):
        config = LatentSeekConfig(latents_over=over, fraction=1.0)
        attempt = draft(scripted_backbone(["It is 4."]), QUESTION, config).attempts[0]
        assert len(attempt.latent_token_ids) == len(attempt.token_ids)


class Templated:
    """A tokenizer with nothing but a template."""

    def __init__(self, chat_template: Any) -> None:
        self.chat_template = chat_template


@pytest.mark.parametrize(
    ("template", "given", "options"),
    [
        ("{% if enable_thinking %}x{% endif %}", {"enable_thinking": True}, {"enable_thinking": True}),
        ("{% if thinking %}x{% endif %}", {"enable_thinking": False}, {"thinking": False}),
        ("{{ reasoning_effort }}", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ("{% generation %}{{ enable_thinking }}", {"enable_thinking": True}, {"enable_thinking": True}),
        ("{{ messages }}", {}, {}),
    ],
)
def test_a_switch_goes_to_the_template_under_its_name(template: str, given: Any, options: Any) -> None:
    assert template_options(Templated(template), **given) == options


@pytest.mark.parametrize("template", [None, "{{ messages }}", "{{ message.thinking }}"])
@pytest.mark.parametrize("given", [{"enable_thinking": True}, {"reasoning_effort": "high"}])
def test_a_switch_that_the_template_does_not_know_is_an_error(template: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match="chat template"):
        template_options(Templated(template), **given)
    with pytest.raises(ConfigError, match="scripted"):
        LatentSeek(scripted_backbone(["4."]), config=LatentSeekConfig(**given))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"max_thinking_tokens": 64, "max_new_tokens": 64},
            "lower max_thinking_tokens to 40 or less, or raise",
        ),
        ({"max_thinking_tokens": 63, "max_new_tokens": 64}, "raise max_new_tokens to 87 or more"),
        ({"max_thinking_tokens": 41, "max_new_tokens": 64}, "16 tokens of an answer take 65"),
        ({"max_thinking_tokens": 41, "max_draft_tokens": 64}, "max_draft_tokens=64"),
        ({"max_thinking_tokens": 1, "max_new_tokens": 20}, "an answer take 25; raise max_new_tokens to 25"),
    ],
)
def test_a_budget_leaves_room_for_an_answer(given: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        LatentSeekConfig(**given)
    for name, value in given.items():
        assert f"{name}={value}" in str(raised.value)
    with pytest.raises(ConfigError, match=told):
        LatentSeekConfig().replace(**given)


def test_a_budget_that_just_fits_is_taken() -> None:
    assert LatentSeekConfig(max_thinking_tokens=40, max_new_tokens=64, max_draft_tokens=64)
    assert LatentSeekConfig(max_thinking_tokens=1000)


@pytest.mark.parametrize("verifier", [None, ScriptedVerifier([0.0])])
def test_the_chat_s_limit_and_a_thought_that_does_not_fit(verifier: Any) -> None:
    def chat(thinking: int, **given: int) -> ChatLatentSeek:
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template += OPENS
        backbone = scripted_backbone(["Let me see. " * 60 + CLOSING + "It is 4."], tokenizer)
        config = LatentSeekConfig(max_thinking_tokens=thinking, max_iterations=0)
        return ChatLatentSeek(backbone=backbone, verifier=verifier, config=config, **given)

    told = "max_thinking_tokens=100 does not fit into max_tokens=60"
    with pytest.raises(ConfigError, match=told):
        chat(100, max_tokens=60)
    with pytest.raises(ConfigError, match=told):
        chat(100).invoke("?", max_tokens=60)
    with pytest.raises(ConfigError, match=told):
        chat(100).bind(max_tokens=60).invoke("?")
    assert chat(100, max_tokens=124).invoke("?").content
    # Nobody has set max_tokens: the thought shrinks to what fits into 512.
    message = chat(600).invoke("?")
    assert message.content
    assert len(message.additional_kwargs["reasoning_content"]) in (487, 488)


def test_a_budget_shrinks_to_the_context_window() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template += OPENS
    backbone = Backbone.from_model(tiny_model(max_position_embeddings=256), tokenizer)
    config = LatentSeekConfig(max_thinking_tokens=230, max_iterations=0)
    prompt_ids = prompt_token_ids(backbone, QUESTION, config)
    written = draft(backbone, QUESTION, config).attempts[0].token_ids
    closed = closings_of(backbone, prompt_ids, written, 230)
    assert closed == [256 - len(prompt_ids) - 16 - len(CLOSING)]
    assert backbone.decode(written[closed[0] :]).startswith(CLOSING)


def test_verifiers_let_the_model_answer_at_once() -> None:
    backbone = thinking_backbone()
    ids = backbone.encode_prompt([{"role": "user", "content": "?"}], answer_at_once=True)
    assert backbone.decode(ids).endswith(f"<think>\n{CLOSING}")
