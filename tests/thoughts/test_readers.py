r"""Everybody who reads a solution reads the answer and not the thought."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import LatentSeek, LatentSeekConfig, StopReason
from latentseek_agents.evaluation.runs.methods import Method
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_tokenizer
from latentseek_agents.thoughts import split_thoughts
from latentseek_agents.tools import GroundTruth, SelfReward, StepVerifier, check_steps, extract_answer
from latentseek_agents.verdict import Attempt
from latentseek_agents.votes import count_votes

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in Path(__file__).with_name("split_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
UNOPENED = [case for case in CASES if not case.get("opened")]


@pytest.mark.parametrize("case", UNOPENED, ids=lambda case: f"{case['kind']}: {case['text'][:30]!r}")
def test_the_answer_is_that_of_the_answer(case: dict[str, Any]) -> None:
    assert extract_answer(case["text"]) == case["answer"]
    # The answer is right, and nothing else in the text is, what was thought least of all.
    for reference in ("1", "2", "3", "4", "5", "7", "12"):
        verdict = GroundTruth(reference)("?", case["text"])
        assert verdict.passed is (reference == case["answer"]), reference
    if case["answer"] is not None:
        assert GroundTruth(case["answer"])("?", case["text"]).passed is True


def thinking_tokenizer(template: str = "", *, special: tuple[str, ...] = ()) -> Any:
    """The tiny tokenizer with a thinking family's template and its marks as special tokens."""
    tokenizer = tiny_tokenizer()
    if special:
        tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template = tokenizer.chat_template + template
    return tokenizer


OPENS = "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
MISTRAL = "{# [THINK] and [/THINK] #}"
CHANNELS = "{# <|channel|>analysis<|message|> #}"
CHANNEL_MARKS = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>")


def drafted(script: str, tokenizer: Any = None) -> Attempt:
    seek = LatentSeek(
        scripted_backbone([script], tokenizer), ScriptedVerifier([0.0]), LatentSeekConfig(max_iterations=0)
    )
    return seek.invoke("What is 2 + 2?").iterations[0]


@pytest.mark.parametrize(
    ("script", "tokenizer"),
    [
        ("<think>\\boxed{5}?</think>\\boxed{4}", None),
        ("\\boxed{5}?\n</think>\n\n\\boxed{4}", thinking_tokenizer(OPENS)),
        (
            "[THINK]\\boxed{5}?[/THINK]\\boxed{4}",
            thinking_tokenizer(MISTRAL, special=("[THINK]", "[/THINK]")),
        ),
        (
            "<|channel|>analysis<|message|>\\boxed{5}?<|end|><|start|>assistant<|channel|>final<|message|>"
            "\\boxed{4}",
            thinking_tokenizer(CHANNELS, special=CHANNEL_MARKS),
        ),
    ],
)
def test_an_attempt_has_thinking_and_text(script: str, tokenizer: Any) -> None:
    attempt = drafted(script, tokenizer)
    assert (attempt.thinking, attempt.text, attempt.answer) == ("\\boxed{5}?", "\\boxed{4}", "4")
    assert Attempt.from_dict(attempt.to_dict()) == attempt


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (["[THINK]", "a lone ` tick", "[/THINK]", "It is `x`: 4."], "It is `x`: 4."),
        (["[THINK]", 'I say "[/THINK]" and "', "[/THINK]", '"4"'], '"4"'),
        (["[THINK]", "Is it [/THINK]? ", "[/THINK]", "[THINK] is a key."], "[THINK] is a key."),
        (["It is 4, [/THINK] or not."], "It is 4, [/THINK] or not."),
    ],
)
def test_marks_are_the_tokens_and_not_their_spelling(written: list[str], text: str) -> None:
    tokenizer = thinking_tokenizer(MISTRAL, special=("[THINK]", "[/THINK]"))
    backbone = scripted_backbone(["."], tokenizer)
    ids: list[int] = []
    for piece in written:
        if piece in ("[THINK]", "[/THINK]"):
            ids.append(tokenizer.convert_tokens_to_ids(piece))
        else:
            ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    split = backbone.split(ids)
    assert split.text == text
    assert backbone.thought_tokens(ids) == (len(written[1]) if len(written) > 1 else 0)


def test_an_opened_thought_that_is_cut_off_has_no_answer() -> None:
    attempt = drafted("It is \\boxed{5}, or", thinking_tokenizer(OPENS))
    assert (attempt.thinking, attempt.text, attempt.answer) == ("It is \\boxed{5}, or", "", None)


def test_without_a_template_a_question_that_ends_in_a_mark_opens_no_thought() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    for question in ("What does this tag mean: <think>", "Is it <think> or [THINK]"):
        config = LatentSeekConfig(max_iterations=0, prompt=str)
        seek = LatentSeek(
            scripted_backbone(["It opens a thought. \\boxed{4}"], tokenizer), ScriptedVerifier([0.0]), config
        )
        attempt = seek.invoke(question).iterations[0]
        assert (attempt.thinking, attempt.answer) == ("", "4")
    # One that closes a thought has had one.
    seek = LatentSeek(scripted_backbone(["5?\n</think>\n4."], tokenizer), ScriptedVerifier([0.0]), config)
    assert seek.invoke("Say <think>").iterations[0].text == "4."


def test_special_tokens_that_mark_nothing_are_gone() -> None:
    tokenizer = thinking_tokenizer(MISTRAL, special=("[THINK]", "[/THINK]", "[OTHER]"))
    assert drafted("[THINK]Hm.[/THINK]It is[OTHER] 4.", tokenizer).text == "It is 4."


def test_an_end_token_that_is_no_mark_stays_hidden() -> None:
    tokenizer = thinking_tokenizer(special=("<|end|>",))  # Phi 3 ends its turns so
    assert drafted("It is 4.<|end|>", tokenizer).text == "It is 4."


def test_no_verifier_sees_a_thought() -> None:
    verifier = ScriptedVerifier([0.0])
    LatentSeek(scripted_backbone(["<think>Hm.</think>It is 4."]), verifier).invoke("What is 2 + 2?")
    assert verifier.calls == [("What is 2 + 2?", "It is 4.")]


def test_a_thought_without_an_answer_is_refused_and_nobody_is_asked() -> None:
    verifier = ScriptedVerifier([0.0])
    config = LatentSeekConfig(max_iterations=0)
    result = LatentSeek(scripted_backbone(["<think>\\boxed{4}"]), verifier, config).invoke("What is 2 + 2?")
    assert verifier.calls == []
    stop: StopReason = "iterations"
    assert (result.answer, result.passed, result.score, result.stop_reason) == (None, False, -1.0, stop)
    assert "max_thinking_tokens" in result.reason


@pytest.mark.parametrize(
    ("solution", "verdict"),
    [
        ("<think>2 + 2 = 5</think>2 + 2 = 4. The answer is 4.", "ok"),
        ("<think>2 + 2 = 4</think>2 + 2 = 5. The answer is 5.", "wrong"),
        ("<think>2 + 2 = 4. The answer is 4.</think>It is 4.", "unverifiable"),
        ("<think>2 + 2 = 4. The answer is 4.", "unverifiable"),
        ("2 + 2 = 5, no\n</think>\n2 + 2 = 4", "ok"),
        ("<think>```python\nprint(2 + 2)\n```\nThis prints 5.</think>2 + 2 = 4", "ok"),
    ],
)
def test_steps_of_a_thought_neither_refute_nor_pass(solution: str, verdict: str) -> None:
    report = check_steps(solution)
    assert report.verdict == verdict
    assert [solution[slice(*equation.span)] for equation in report.equations] == [
        equation.text for equation in report.equations
    ]
    assert not report.programs


@pytest.mark.parametrize(
    ("solution", "thought"),
    [
        ("<think>2 + 2 = 5. Also 3 + 1 = 4.</think>It is 4.", [("2 + 2 = 5", "wrong"), ("3 + 1 = 4", "ok")]),
        ("<think>2 + 2 = 5? No.</think>It is 4.", [("2 + 2 = 5", "unverifiable")]),
        ("3 * 3 = 8.\n</think>\n3 * 3 = 9.", [("3 * 3 = 8", "wrong")]),
        (
            "<think>1 + 1 = 2</think>So <think>2 + 1 = 4</think>3.",
            [("1 + 1 = 2", "ok"), ("2 + 1 = 4", "wrong")],
        ),
        ("<think>2x + 3 = 13, so x = 4", [("2x + 3 = 13", "ok"), ("x = 4", "wrong")]),
        ("<think>```python\nprint(1)\n```\nprints 5, 1 + 1 = 3</think>1.", [("1 + 1 = 3", "wrong")]),
        ("[THINK]7 - 2 = 4[/THINK]7 - 2 = 5", [("7 - 2 = 4", "wrong")]),
        ("2 + 2 = 4. The <think> tag, 1 + 1 = 3, is a word.", []),
        ("2 + 2 = 4", []),
    ],
)
def test_steps_of_a_thought_are_reported(solution: str, thought: list[tuple[str, str]]) -> None:
    report = check_steps(solution)
    assert [(equation.text, equation.status) for equation in report.thought] == thought
    assert [solution[slice(*equation.span)] for equation in report.thought] == [text for text, _ in thought]
    assert [entry["text"] for entry in report.to_dict()["thought"]] == [text for text, _ in thought]
    assert not report.refuted or not thought
    assert StepVerifier()("?", solution) == StepVerifier()("?", split_thoughts(solution).text)


def test_thoughts_are_read_up_to_a_length() -> None:
    began = time.process_time()
    report = check_steps("".join(f"<think>{'2 + 2 = 5. ' * 500}</think>a " for _ in range(40)))
    assert 0 < len(report.thought) <= 4 * 400
    assert time.process_time() - began < 4


def test_a_search_tells_what_was_thought() -> None:
    scripts = ["<think>2 + 2 = 5.</think>It is 5.", "<think>No, 4.</think>It is 4."]
    config = LatentSeekConfig(proposals="samples", max_iterations=1)
    graph = create_refine_graph(
        scripted_backbone(scripts), verifier=ScriptedVerifier([-1.0, 0.0]), config=config
    ).compile()
    events: Any = list(graph.stream({"question": "What is 2 + 2?"}, stream_mode="custom"))
    assert [(event["thinking"], event["text"]) for event in events] == [
        ("2 + 2 = 5.", "It is 5."),
        ("No, 4.", "It is 4."),
    ]
    result = LatentSeek(scripted_backbone(scripts), ScriptedVerifier([-1.0, 0.0]), config).invoke(
        "What is 2?"
    )
    assert result.usage.policy_thinking_tokens == len("2 + 2 = 5.") + len("No, 4.")
    page = result.to_html()
    assert '<mark class="doubt" title="4 is not 5">2 + 2 = 5</mark>.' in page
    assert "1 equation in it" in page
    assert page.count("what was thought before the solution") == 2
    assert 'class="wrong"' not in page


def test_the_page_shows_no_markup_of_a_thought() -> None:
    script = "<think></pre><script>alert(1)</script> 1 + 1 = 3</think>It is 4."
    config = LatentSeekConfig(max_iterations=0)
    page = LatentSeek(scripted_backbone([script]), ScriptedVerifier([0.0]), config).invoke("?").to_html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("script", "tokenizer"),
    [
        ("<think>Hm, 5.</think>It is 4.", None),
        ("<think>Hm</think><think>, 5.</think>It is 4.", None),
        ("Hm, 5.</think>It is 4.", thinking_tokenizer(OPENS)),
        ("Hm, 5.", thinking_tokenizer(OPENS)),
        ("[THINK]Hm, 5.[/THINK]4.", thinking_tokenizer(MISTRAL, special=("[THINK]", "[/THINK]"))),
    ],
)
def test_tokens_of_thoughts_are_counted(script: str, tokenizer: Any) -> None:
    seek = LatentSeek(
        scripted_backbone([script], tokenizer), ScriptedVerifier([0.0]), LatentSeekConfig(max_iterations=0)
    )
    assert seek.invoke("What is 2 + 2?").usage.policy_thinking_tokens == len("Hm, 5.")  # a byte is a token


def test_a_thought_is_no_part_of_what_can_be_read() -> None:
    report = check_steps(f"<think>{'2 + 2 = 5. ' * 3000}</think>2 + 2 = 4. The answer is 4.")
    assert (report.verdict, report.truncated) == ("ok", False)


def test_a_thought_gives_no_numbers_to_the_steps() -> None:
    solution = "<think>48 / 2 = 24</think>48 / 2 = 24, 48 + 24 = 72. The answer is 72."
    question = "April sold 48 clips, and half as many in May. How many in all?"
    assert StepVerifier()(question, solution) == StepVerifier()(question, solution.partition("</think>")[2])


def test_votes_count_answers() -> None:
    scripts = ["<think>\\boxed{5}</think>\\boxed{4}", "<think>\\boxed{5}", "<think>\\boxed{5}"]
    attempts = [drafted(script) for script in scripts]
    assert [vote.answer for vote in count_votes(attempts)] == ["4"]


def test_the_evaluation_reads_answers() -> None:
    scripts = ["<think>\\boxed{5}</think>\\boxed{4}", "<think>\\boxed{4}"]
    problem = Problem("made up", 0, "What is 2 + 2?", "4")
    work = Method("sc:2", scripted_backbone(scripts)).solve(problem, LatentSeekConfig())
    assert [(record.right, record.answer) for record in work.attempts] == [(True, "4"), (False, None)]
    assert [record.thinking for record in work.attempts] == ["\\boxed{5}", "\\boxed{4}"]


def test_self_reward_reads_the_verdict_behind_a_thought() -> None:
    tokenizer = thinking_tokenizer(MISTRAL, special=("[THINK]", "[/THINK]"))
    replies = ["[THINK]VERDICT: FALSE[/THINK]All is well.\nVERDICT: TRUE"]
    verdict = SelfReward(scripted_backbone(replies, tokenizer))("What is 2 + 2?", "2 + 2 = 4")
    assert verdict.passed is True


def test_self_reward_shows_the_model_the_answer_only() -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return "VERDICT: TRUE"

    SelfReward(scripted_backbone(reply))("What is 2 + 2?", "<think>Perhaps five.</think>It is four.")
    assert all("It is four." in prompt and "Perhaps five" not in prompt for prompt in prompts)


def test_the_paper_s_behaviour_keeps_the_whole_text() -> None:
    seek = LatentSeek(
        scripted_backbone(["<think>Hm.</think>4."]),
        ScriptedVerifier([0.0]),
        LatentSeekConfig.paper(max_iterations=0),
    )
    attempt = seek.invoke("What is 2 + 2?").iterations[0]
    assert attempt.text.startswith("<think>Hm.</think>4.")
    assert attempt.thinking == ""
