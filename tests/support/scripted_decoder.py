"""A decoder that says what it is told, for tests of the self-reward."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest

from latentseek_agents.engine._decoding import Completion, DecodeRequest
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import tiny_backbone
from latentseek_agents.tools import self_reward
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.verdict import Verdict

QUESTION = "A box holds 24 pens. How many do 3 boxes hold?"
SOLUTION = r"3 * 24 = 72, so \boxed{72}"
NAMES = ["calculation", "answer", "completeness", "understanding"]
T, F, SILENT = "So it is.\nVERDICT: TRUE", "It is 74.\nVERDICT: FALSE", "I cannot say."


@functools.cache
def roomy() -> Backbone:
    """A tiny model whose window holds prompts of one token per byte."""
    return tiny_backbone(max_position_embeddings=8192)


class Script:
    """Stands in for the decoder: says what it is told, and remembers what it was asked."""

    def __init__(self, replies: Sequence[str], finish_reason: str = "stop") -> None:
        self.replies = replies
        self.finish_reason = finish_reason
        self.calls: list[Sequence[DecodeRequest]] = []

    def __call__(self, backbone: Backbone, requests: Sequence[DecodeRequest]) -> list[Completion]:
        import torch

        self.calls.append(requests)
        said = [backbone.tokenizer(reply)["input_ids"] for reply in self.replies]
        return [
            Completion(
                token_ids=[*request.forced_ids, *ids],
                hidden=torch.zeros(len(ids), backbone.hidden_size),
                finish_reason=self.finish_reason,
                forward_passes=len(ids),
            )
            for request, ids in zip(requests, said, strict=True)
        ]

    def prompts(self, backbone: Backbone) -> list[str]:
        return [
            backbone.decode([*r.prompt_ids, *r.forced_ids], skip_special_tokens=False) for r in self.calls[-1]
        ]


def judge(
    monkeypatch: pytest.MonkeyPatch, replies: Sequence[str], solution: str = SOLUTION, **settings: Any
) -> Verdict:
    monkeypatch.setattr(self_reward, "decode", Script(replies))
    return SelfReward(roomy(), **settings)(QUESTION, solution)
