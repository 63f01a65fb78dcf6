import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.engine._decoding import Completion, DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.testing import tiny_backbone
from latentseek_agents.tools import Combined, self_reward
from latentseek_agents.tools._self_reward import replies
from latentseek_agents.tools._self_reward.replies import read_verdict
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.verdict import Verdict, judging_above
from tests.support.batch_decoding import cache_of, decoder_of
from tests.support.scripted_decoder import NAMES, QUESTION, SILENT, SOLUTION, F, Script, T, judge, roomy

# --- from opinions to a verdict ------------------------------------------------------------------------


def test_all_true_is_flawless(monkeypatch: pytest.MonkeyPatch):
    verdict = judge(monkeypatch, [T] * 4)
    assert (verdict.score, verdict.passed) == (0.0, True)
    assert [check.name for check in verdict.checks] == NAMES
    assert [check.weight for check in verdict.checks] == [2, 1, 2, 1]
    assert verdict.checks[0].reason == "So it is. VERDICT: TRUE"
    assert verdict.usage.verifier_tokens == 4 * len(T)
    assert verdict.usage.verifier_forward_passes == 4 * len(T)
    assert verdict.usage.verifier_seconds > 0
    assert Verdict.from_dict(verdict.to_dict()) == verdict


@pytest.mark.parametrize(
    ("replies", "score", "passed"),
    [
        ([F, T, T, T], -2 / 6, False),
        ([T, F, T, T], -1 / 6, False),  # above the threshold, but the answer is called wrong
        ([T, T, T, F], -1 / 6, True),
        ([F, F, F, F], -1.0, False),
        ([T, T, T, SILENT], 0.0, True),
        ([SILENT, T, T, T], -2 / 6, None),  # two thirds of the weight judged, which is too little
        ([T, SILENT, T, T], -1 / 6, None),  # the answer was not judged
        ([F, SILENT, T, T], -2 / 5, False),
        ([T, SILENT, SILENT, F], -4 / 6, None),
        ([SILENT, T, SILENT, T], -4 / 6, None),
        ([SILENT, F, T, SILENT], -4 / 6, False),  # that it is called wrong is enough
        ([SILENT, F, SILENT, SILENT], -1.0, False),
        ([F, SILENT, SILENT, SILENT], -1.0, None),
        ([SILENT] * 4, -1.0, None),
    ],
)
def test_scores(monkeypatch: pytest.MonkeyPatch, replies: list[str], score: float, passed: bool | None):
    verdict = judge(monkeypatch, replies)
    assert verdict.score == pytest.approx(score)
    assert verdict.passed is passed
    assert [check.passed for check in verdict.checks] == [read_verdict(reply) for reply in replies]


def test_reasons_name_what_failed(monkeypatch: pytest.MonkeyPatch):
    assert judge(monkeypatch, [F, T, T, T]).reason == (
        "the model rejects calculation (It is 74. VERDICT: FALSE)"
    )
    assert "accepts, though not understanding" in judge(monkeypatch, [T, T, T, F]).reason
    assert judge(monkeypatch, [SILENT] * 4).reason == (
        "cannot judge: " + "; ".join(f"{name}: no clear verdict: 'I cannot say.'" for name in NAMES)
    )
    assert judge(monkeypatch, [T, SILENT, T, T]).reason == (
        "cannot judge: answer: no clear verdict: 'I cannot say.'"
    )
    monkeypatch.setattr(self_reward, "decode", Script([SILENT] * 4, "length"))
    assert "token limit" in SelfReward(roomy())(QUESTION, SOLUTION).reason


def test_a_check_of_the_format_is_a_function_beside_it(monkeypatch: pytest.MonkeyPatch):
    def boxed(question: str, solution: str, *, reference: str | None = None) -> float:
        return 0.0 if r"\boxed{" in solution else -1.0

    def judged(replies: list[str], solution: str = SOLUTION) -> Verdict:
        monkeypatch.setattr(self_reward, "decode", Script(replies))
        return Combined(boxed, SelfReward(roomy()), weights=[2, 6])(QUESTION, solution)

    assert judged([F, T, T, T]).score == pytest.approx(-2 / 8)
    broken = judged([T] * 4, "72")
    assert broken.score == pytest.approx(-2 / 8)
    assert broken.passed is False
    assert judged([F] * 4, "72").score == -1.0


def test_settings(monkeypatch: pytest.MonkeyPatch):
    with judging_above(-0.5):
        assert judge(monkeypatch, [F, T, T, T]).passed is True
    assert judge(monkeypatch, [F, T, T, T], weights={"calculation": 1}).score == pytest.approx(-1 / 5)
    only = judge(monkeypatch, [T], weights=dict.fromkeys(NAMES[1:], 0))
    assert [check.name for check in only.checks] == ["calculation"]
    assert only.passed is True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "guess"}, "mode"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"weights": {"luck": 1}}, "'luck' is unknown; the names are calculation"),
        ({"weights": {"answer": -1}}, "answer"),
        ({"weights": {"answer": float("nan")}}, "answer"),
        ({"weights": dict.fromkeys(NAMES, 0)}, "all checks are 0"),
        ({"weights": {"format": 1}}, "'format' is unknown"),
        ({"max_seconds": 0}, "max_seconds"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        SelfReward(roomy(), **settings)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([T, F, SILENT]), min_size=4, max_size=4),
    st.lists(st.floats(0.01, 100), min_size=4, max_size=4),
)
def test_scores_stay_in_range(replies: list[str], weights: list[float]):
    with pytest.MonkeyPatch.context() as patch:
        verdict = judge(patch, replies, weights=dict(zip(NAMES, weights, strict=True)))
    assert -1 <= verdict.score <= 0
    if verdict.passed:
        assert verdict.score > -0.2
        assert replies[1] == T
    if replies[1] == F:
        assert verdict.passed is False
    if replies == [SILENT] * 4:
        assert verdict.passed is None


# --- with a real, if tiny, model -----------------------------------------------------------------------


def test_the_shared_prefix_is_read_once():
    backbone = tiny_backbone(max_position_embeddings=8192)
    verifier = SelfReward(backbone, mode="logprob")
    assert verifier(QUESTION, SOLUTION).usage.verifier_forward_passes == 2 + 4
    assert decoder_of(backbone).passes == 3  # the shared prompt in two parts, then all checks at once
    assert verifier(QUESTION, SOLUTION).usage.verifier_forward_passes == 4
    assert len(cache_of(backbone)) == 1


def test_generating_costs_what_it_says():
    backbone = tiny_backbone(max_position_embeddings=8192)
    usage = SelfReward(backbone, max_new_tokens=3)(QUESTION, SOLUTION).usage
    # The shared prompt is read in one part. The pass over a check's own tokens yields its first new token;
    # the last new token is not read.
    (prompt,) = cache_of(backbone).keys()
    assert isinstance(prompt, tuple)
    assert len(prompt) <= 512
    assert usage.verifier_forward_passes == 1 + usage.verifier_tokens
    assert usage.policy_tokens == 0


def test_out_of_time_is_no_vote():
    verdict = SelfReward(roomy(), max_seconds=1e-9)(QUESTION, SOLUTION)
    assert verdict.passed is None
    assert "out of time" in verdict.reason
    assert 0 < verdict.usage.verifier_tokens <= 4  # a check that has to wait for its turn writes nothing


@pytest.mark.parametrize("architecture", ["Llama", "Gemma2", "GPT2"])
def test_logprob_equals_a_whole_forward_pass(monkeypatch: pytest.MonkeyPatch, architecture: str):
    import torch

    backbone = tiny_backbone(architecture, max_position_embeddings=8192)
    asked: list[DecodeRequest] = []

    def recording(backbone: Backbone, requests: Sequence[DecodeRequest]) -> list[Completion]:
        asked.extend(requests)
        return decode(backbone, requests)

    monkeypatch.setattr(self_reward, "decode", recording)
    monkeypatch.setattr(replies, "_LEAST_MASS", 0.0)
    verdict = SelfReward(backbone, mode="logprob")(QUESTION, SOLUTION)
    lost = 0.0
    ids = {letter: backbone.tokenizer(letter)["input_ids"][0] for letter in "TtFf"}
    for request, weight in zip(asked, [2, 1, 2, 1], strict=True):
        tokens = [*request.prompt_ids, *request.forced_ids]
        assert backbone.decode(tokens, skip_special_tokens=False).endswith("assistant\nVERDICT: ")
        with torch.no_grad():
            said = backbone.model(torch.tensor([tokens])).logits[0, -1].softmax(-1)
        false = float(said[ids["F"]] + said[ids["f"]])
        true = float(said[ids["T"]] + said[ids["t"]])
        lost += weight * false / (true + false)
    assert verdict.score == pytest.approx(-lost / 6, abs=1e-4)
    assert verdict.checks[0].reason.startswith("P(TRUE) = ")


def test_logprob_is_no_vote_if_the_model_would_say_neither():
    verdict = SelfReward(roomy(), mode="logprob")(QUESTION, SOLUTION)
    assert all(check.passed is None for check in verdict.checks if "neither" in check.reason)
    assert any("neither" in check.reason for check in verdict.checks)


def test_same_verdict_from_any_thread():
    verifier = SelfReward(roomy(), mode="logprob")
    alone = verifier(QUESTION, SOLUTION)
    found: list[Verdict] = []
    threads = [threading.Thread(target=lambda: found.append(verifier(QUESTION, SOLUTION))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(v.score, v.passed, v.checks) for v in found] == [(alone.score, alone.passed, alone.checks)] * 4
