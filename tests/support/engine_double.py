"""A stand-in for vLLM's engine: whole passes of a tiny model, and the rows of logits that vLLM would show.

It shows what the real one shows at bad moments, too: rows of half-read prompts, the same position again
after a request was dropped from the cache, and one beyond the end, planned before the end was known.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latentseek_agents.engine._vllm import decoder as decoder_module
from latentseek_agents.engine._vllm.decoder import VLLMDecoder
from latentseek_agents.engine._vllm.head import Head
from latentseek_agents.engine._vllm.loading import LoadedModel
from latentseek_agents.engine._vllm.row_logits import RowLogits
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.vllm import VLLMParts, VLLMPolicy


class EngineDouble:
    """Decodes as vLLM does, one pass over the whole sequence per token.

    Args:
        model: A Hugging Face causal LM.
        rows: What is asked about the logits.
        unruly: Show rows whose tokens are thrown away before each row that counts.

    Attributes:
        aborted: Names of requests that were taken out.
        together: How many requests each step had.
        delay: Called before each step.
    """

    def __init__(self, model: Any, rows: RowLogits, *, unruly: bool = False) -> None:
        self.model = model
        self.rows = rows
        self.unruly = unruly
        self.requests: dict[str, Any] = {}
        self.aborted: list[str] = []
        self.together: list[int] = []
        self.failure: Exception | None = None
        self.delay: Any = lambda: None
        self.stopped = False
        finalizer = SimpleNamespace(detach=lambda: None)
        self.engine_core = SimpleNamespace(shutdown=self._shut_down, _finalizer=finalizer)
        self.model_executor = SimpleNamespace(shutdown=self._shut_down)

    def _shut_down(self) -> None:
        self.stopped = True

    def add_request(self, name: str, prompt: Any, params: Any) -> None:
        ids = list(prompt["prompt_token_ids"])
        if len(ids) >= 1024:
            raise ValueError("the prompt is too long")
        row = self.rows.find(params.extra_args)
        self.requests[name] = SimpleNamespace(ids=ids, row=row, params=params, written=0)

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self.aborted.append(name)
            del self.requests[name]

    def step(self) -> list[Any]:
        self.delay()
        if self.failure is not None:
            raise self.failure
        self.together.append(len(self.requests))
        names = list(self.requests)
        if self.unruly:
            self._show([self._logits(name, 1) for name in names], names, 0)
            self._show([self._logits(name, 0) for name in names], names, 0)
            again = [name for name in names if self.requests[name].written]
            self._show([self._logits(name, 1) for name in again], again, -1)
        logits = self._show([self._logits(name, 0) for name in names], names, 0)
        tokens = logits.argmax(dim=-1).tolist() if names else []
        return [self._output(name, token) for name, token in zip(names, tokens, strict=True)]

    def _logits(self, name: str, left_out: int) -> torch.Tensor:
        ids = self.requests[name].ids
        with torch.no_grad():
            return self.model(torch.tensor([ids[: len(ids) - left_out] or ids])).logits[0, -1].float()

    def _show(self, logits: list[torch.Tensor], names: list[str], shift: int) -> torch.Tensor:
        if not logits:
            return torch.empty(0, 1)
        stacked = torch.stack(logits)
        asked = [
            (number, request.row, request.written + shift)
            for number, name in enumerate(names)
            if (request := self.requests[name]).row is not None
        ]
        self.rows.apply(stacked, asked)
        return stacked

    def _output(self, name: str, token: int) -> Any:
        request = self.requests[name]
        request.ids.append(token)
        request.written += 1
        reason = None
        if token in request.params.stop_token_ids:
            reason = "stop"
        elif request.written >= request.params.max_tokens:
            reason = "length"
        if reason is not None:
            if self.unruly and request.row is not None:
                ahead = torch.zeros(1, self.rows.loaded_head.vocabulary_size)
                self.rows.apply(ahead, [(0, request.row, request.written)])
            del self.requests[name]
        written = SimpleNamespace(token_ids=[token], finish_reason=reason)
        return SimpleNamespace(
            request_id=name, outputs=[written], finished=reason is not None, num_cached_tokens=0
        )


def double_of(backbone: Backbone, **options: Any) -> Backbone:
    """The same model behind a :class:`VLLMDecoder`; ``decoder.engine`` is the double."""
    rows = RowLogits()
    config = backbone.policy.config
    head = backbone.model.get_output_embeddings()
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    rows.head = Head(
        head.weight,
        bias=head.bias,
        scale=scale,
        soft_cap=getattr(config, "final_logit_softcapping", None),
    )
    decoder = VLLMDecoder(lambda: EngineDouble(backbone.model, rows, **options), rows, name="double")
    loaded = LoadedModel(
        model=backbone.model,
        config=backbone.model.config,
        head=rows.head,
        decoder=decoder,
        dtype=backbone.dtype,
        context_window=backbone.context_window,
        quantization=None,
    )
    policy = VLLMPolicy(loaded, name="double")
    return Backbone._of_parts(VLLMParts(policy, decoder, backbone.tokenizer, backbone.eos_token_ids))


@pytest.fixture
def sampling_params(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's own class of settings is not needed by the double."""

    def made(request: Any, extra: Any) -> Any:
        return SimpleNamespace(
            max_tokens=request.max_new_tokens, stop_token_ids=request.end_token_ids, extra_args=extra
        )

    monkeypatch.setattr(decoder_module, "_sampling_params", made)
