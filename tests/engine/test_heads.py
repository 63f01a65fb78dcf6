"""Heads and embeddings of other classes than torch's: the same search as with the weights they stand for."""

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._decoding import decode
from latentseek_agents.engine._heads import GradientHead
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.batch_decoding import request
from tests.support.naive_decoding import hidden_states, model_logits

IDS = [7 + (37 * i) % 250 for i in range(12)]


class PackedHead(torch.nn.Module):
    """As GPTQ's and AWQ's: no ``weight``, integers and scales, numbers made as they are needed."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        scales = linear.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("qweight", (linear.weight.detach() / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def numbers(self) -> torch.Tensor:
        packed: Any = self._buffers
        numbers: torch.Tensor = packed["qweight"].float() * packed["scales"]
        return numbers

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(rows, self.numbers().to(rows.dtype))


class _Kernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return rows @ numbers.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("this kernel is for inference")


class KernelHead(PackedHead):
    """With a kernel that has no backward pass."""

    def forward(self, rows: torch.Tensor) -> Any:
        return _Kernel.apply(rows, self.numbers())


class DetachedHead(PackedHead):
    """With a kernel that torch does not see."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.detach() @ self.numbers().t()


class BiasedHead(DetachedHead):
    """With something added."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return super().forward(rows) + torch.linspace(-1, 1, 259)


class OwnHead(torch.nn.Module):
    """Weights under a name of their own, in two parts."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.upper = torch.nn.Parameter(linear.weight.detach()[:100].clone())
        self.lower = torch.nn.Parameter(linear.weight.detach()[100:].clone())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows @ self.upper.t(), rows @ self.lower.t()], dim=-1)


class ListHead(torch.nn.Module):
    """A ``weight`` that is no tensor."""

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.weight = ["packed"]
        self.inner = copy.deepcopy(linear)

    def forward(self, rows: torch.Tensor) -> Any:
        return self.inner(rows)


HEADS: list[Any] = [PackedHead, KernelHead, DetachedHead, BiasedHead, OwnHead, ListHead]


def with_head(head: Callable[[Any], Any], architecture: str = "Llama", **changes: Any) -> Any:
    model = tiny_model(architecture, tie_word_embeddings=False, **changes)
    model.set_output_embeddings(head(model.get_output_embeddings()))
    return model


def wrapped(model: Any) -> Backbone:
    return Backbone.from_model(model, tiny_tokenizer())


def searched(backbone: Backbone) -> list[list[int]]:
    config = LatentSeekConfig(max_new_tokens=12, fraction=0.5, learning_rate=0.5)
    step = draft(backbone, "2 + 2?", config)
    texts = [step.attempts[0].token_ids]
    for _ in range(3):
        judged = [attempt.__class__(**attempt.to_dict() | {"score": -1.0}) for attempt in step.attempts]
        step = refine(backbone, "2 + 2?", config, latents=step.latents, samples=judged)
        texts.append(step.attempts[0].token_ids)
    return texts


@pytest.mark.parametrize("architecture", ["Llama", "Gemma2", "Granite"])
@pytest.mark.parametrize("head", HEADS)
def test_logits_and_gradients_are_those_of_the_weights_that_a_head_stands_for(head: Any, architecture: str):
    model = with_head(head, architecture)
    backbone = wrapped(model)
    z = hidden_states(model, IDS)
    torch.testing.assert_close(backbone.logits(z), model_logits(model, IDS), rtol=1e-5, atol=1e-5)
    # The same head as a Linear.
    plain = tiny_model(architecture, tie_word_embeddings=False)
    made = model.get_output_embeddings()
    if isinstance(made, PackedHead):
        plain.get_output_embeddings().weight.data = made.numbers()
    if isinstance(made, BiasedHead):
        plain.get_output_embeddings().bias = torch.nn.Parameter(torch.linspace(-1, 1, 259))
    expected = Backbone.from_model(plain, tiny_tokenizer())
    gradients = []
    for one in (backbone, expected):
        variable = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(torch.log_softmax(one.logits(variable), -1)[:, 9].sum(), variable)
        gradients.append(gradient)
    assert gradients[1].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)
    assert searched(backbone) == searched(expected)


def test_only_a_head_that_hides_its_gradient_is_wrapped():
    wrapped_heads = {
        head.__name__: isinstance(wrapped(with_head(head)).policy._head.lm_head, GradientHead)
        for head in HEADS
    }
    assert {name for name, is_wrapped in wrapped_heads.items() if is_wrapped} == {
        "KernelHead", "DetachedHead", "BiasedHead",
    }  # fmt: skip


def test_heads_of_half_precision():
    model = with_head(PackedHead).to(torch.bfloat16)
    assert wrapped(model).logits(torch.ones(3, 32)).dtype == torch.bfloat16
    model = tiny_model().to(torch.bfloat16)
    model.lm_head = torch.nn.Linear(32, 259).float()
    model.lm_head.register_forward_pre_hook(lambda module, given: (given[0].float(),))
    assert wrapped(model).logits(torch.ones(3, 32)).dtype == torch.float32


class OwnEmbedding(torch.nn.Module):
    """No ``weight``: integers and scales."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.inner = PackedHead(embedding)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.inner.numbers()[ids]


@pytest.mark.parametrize("architecture", ["Llama", "Qwen3", "GPT2"])
def test_an_embedding_without_a_weight(architecture: str):
    model = tiny_model(architecture, tie_word_embeddings=False)
    model.set_input_embeddings(OwnEmbedding(model.get_input_embeddings()))
    backbone = wrapped(model)
    assert (backbone.policy.vocabulary_size, backbone.dtype, backbone.device.type) == (
        259,
        torch.float32,
        "cpu",
    )
    ids = torch.tensor([request().prompt_ids])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                              eos_token_id=None, pad_token_id=0)  # fmt: skip
    assert decode(backbone, [request()])[0].token_ids == expected[0, 20:].tolist()
    assert searched(backbone) == searched(wrapped(copy.deepcopy(model)))


def test_a_head_through_which_nothing_can_be_learned_is_refused():
    class Rounded(torch.nn.Module):
        def __init__(self, linear: Any) -> None:
            super().__init__()

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*rows.shape[:-1], 259)

    with pytest.raises(
        BackboneError, match="through whose head no gradient passes, so that nothing can be ref"
    ):
        wrapped(with_head(Rounded))


# -- torchao

torchao = pytest.mark.skipif(
    importlib.util.find_spec("torchao") is None, reason="torchao is not installed, and no dependency"
)


class StandIn(torch.Tensor):
    """A weight that stands for other tensors, as those of torchao: known to ``linear`` and to little else."""

    codes: torch.Tensor
    scales: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> "StandIn":
        made: Any = torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=numbers.dtype)
        made.scales = numbers.abs().amax(dim=1, keepdim=True) / 127
        made.codes = (numbers / made.scales).round().to(torch.int8)
        return made

    def __tensor_flatten__(self) -> Any:
        return ["codes", "scales"], None

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.linear:
            rows, weight, *bias = args
            return torch.nn.functional.linear(rows, weight.codes.float() * weight.scales, *bias)
        return super().__torch_function__(function, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if function is torch.ops.aten.detach.default:
            return StandIn(args[0].codes.float() * args[0].scales)
        raise NotImplementedError(f"{function} is not implemented for a stand-in")


def quantised(model: Any, *, head: bool, layers: bool) -> Any:
    """The model with stand-ins for weights; and the same with the numbers that they stand for."""
    plain = copy.deepcopy(model)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and (head if name == "lm_head" else layers):
            stand_in = StandIn(module.weight.detach())
            module.weight = torch.nn.Parameter(stand_in, requires_grad=False)
            plain.get_submodule(name).weight.data = stand_in.codes.float() * stand_in.scales
    return model, plain


@pytest.mark.parametrize(("head", "layers"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Gemma2"])
def test_weights_that_stand_for_other_tensors(architecture: str, head: bool, layers: bool):
    model, plain = quantised(tiny_model(architecture, tie_word_embeddings=False), head=head, layers=layers)
    backbone = wrapped(model)
    assert searched(backbone) == searched(wrapped(plain))
    assert backbone.fingerprint == wrapped(model).fingerprint != tiny_backbone(architecture).fingerprint
    with pytest.raises(BackboneError, match="is quantised already; leave dtype='int8' away"):
        Backbone.from_model(model, tiny_tokenizer(), dtype="int8")


@torchao
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
@pytest.mark.parametrize("head_only", [True, False])
def test_torchao(kind: str, head_only: bool):
    import torchao.quantization as ao

    model = tiny_model()
    chosen: Any = (lambda module, name: name == "lm_head") if head_only else None
    ao.quantize_(model, getattr(ao, kind)(), filter_fn=chosen)
    backbone = wrapped(model)
    ids = torch.tensor([request().prompt_ids])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
                              eos_token_id=None, pad_token_id=0)  # fmt: skip
    assert decode(backbone, [request()])[0].token_ids == expected[0, 20:].tolist()
    texts = searched(backbone)
    assert len({tuple(one) for one in texts}) > 1
    assert backbone.fingerprint != tiny_backbone().fingerprint


@pytest.mark.filterwarnings("ignore")
def test_torch_s_dynamic_quantisation():
    quantise: Any = torch.ao.quantization.quantize_dynamic
    with pytest.raises(BackboneError, match=r"quantised by torch's quantize_dynamic.*or use dtype='int8'"):
        wrapped(quantise(tiny_model(tie_word_embeddings=False), {torch.nn.Linear}))
    head_only = quantise(tiny_model(tie_word_embeddings=False), {"lm_head"})
    assert isinstance(wrapped(head_only).policy._head.lm_head, GradientHead)
    assert len({tuple(text) for text in searched(wrapped(head_only))}) > 1
