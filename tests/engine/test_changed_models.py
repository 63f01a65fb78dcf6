"""What a caller does to a model in use beside switching adapters: hooks, forwards, vectors, other types."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodingOptions, decode
from latentseek_agents.testing import ScriptedVerifier, tiny_model, tiny_tokenizer
from tests.engine.test_adapters import IN_EACH_MODE, assert_own, generated, wrapped, written
from tests.support.batch_decoding import request

VECTOR = torch.linspace(-3, 3, 32)


# -- functions that run with a module


def steer(_module: Any, _given: Any, output: Any) -> Any:
    return output + VECTOR


def steer_input(_module: Any, given: Any) -> Any:
    return (given[0] - 2 * VECTOR, *given[1:])


@contextmanager
def hook(model: Any) -> Iterator[None]:
    handle = model.model.layers[0].mlp.register_forward_hook(steer)
    yield
    handle.remove()


@contextmanager
def hook_on_a_layer(model: Any) -> Iterator[None]:
    handle = model.model.layers[1].register_forward_hook(lambda m, g, output: output * -1.5)
    yield
    handle.remove()


@contextmanager
def hook_in_front(model: Any) -> Iterator[None]:
    handle = model.model.layers[0].mlp.register_forward_pre_hook(steer_input)
    yield
    handle.remove()


@contextmanager
def partial_hook(model: Any) -> Iterator[None]:
    function = functools.partial(steer)
    handle = model.model.embed_tokens.register_forward_hook(function)
    yield
    handle.remove()


@contextmanager
def other_forward(model: Any) -> Iterator[None]:
    mlp = model.model.layers[1].mlp
    own = mlp.forward
    mlp.forward = lambda rows: own(rows) * -2
    yield
    del mlp.forward


@contextmanager
def other_forward_of_a_projection(model: Any) -> Iterator[None]:
    linear = model.model.layers[0].self_attn.o_proj
    linear.forward = lambda rows: torch.nn.functional.linear(rows, -2 * linear.weight)
    yield
    del linear.forward


PATCHES: list[Callable[[Any], AbstractContextManager[None]]] = [
    hook, hook_on_a_layer, hook_in_front, partial_hook, other_forward, other_forward_of_a_projection,
]  # fmt: skip


@IN_EACH_MODE
@pytest.mark.parametrize("patch", PATCHES)
def test_a_function_that_runs_for_a_while(
    patch: Callable[[Any], AbstractContextManager[None]], options: dict[str, Any]
):
    model = tiny_model()
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    before, mark = assert_own(backbone, asked), backbone.fingerprint
    for _ in range(2):
        with patch(model):
            assert assert_own(backbone, asked) != before
            assert_own(backbone, asked)
            assert backbone.fingerprint != mark
        assert assert_own(backbone, asked) == before
        assert backbone.fingerprint == mark


@IN_EACH_MODE
def test_a_hook_whose_factor_changes(options: dict[str, Any]):
    model = tiny_model()
    factor = {"now": 0.0}
    model.model.layers[0].register_forward_hook(lambda m, g, output: output + factor["now"] * VECTOR)
    backbone = wrapped(model, **options)
    texts = []
    for factor["now"] in (0.0, 2.0, -4.0, 0.0):
        texts.append(assert_own(backbone, request(reuse_completion=True)))
    assert texts[0] == texts[3]
    assert len({tuple(one) for one in texts}) == 3


def test_hooks_of_the_library_keep_nothing_from_being_used_again():
    """transformers leaves hooks in a model that was asked for its hidden states once."""
    model = tiny_model()
    model(torch.tensor([[5, 6]]), output_hidden_states=True, output_attentions=True)
    model.enable_input_require_grads()
    backbone = wrapped(model)
    first, second = (decode(backbone, [request()])[0] for _ in range(2))
    assert (first.prompt_passes, second.prompt_passes) == (1, 0)


def test_a_search_of_a_model_with_a_hook():
    config = LatentSeekConfig(max_new_tokens=12, fraction=0.5, max_iterations=2, learning_rate=0.3)

    def solved(backbone: Backbone) -> list[str]:
        result = LatentSeek(backbone, verifier=ScriptedVerifier([-1.0]), config=config).invoke("2 + 2?")
        return [attempt["text"] for attempt in result.iterations]

    model = tiny_model()
    backbone = wrapped(model)
    plain = solved(backbone)
    with hook(model):
        assert solved(backbone) == solved(wrapped(model, reuse=False)) != plain
    assert solved(backbone) == plain


# -- modules of a caller's own


@dataclass
class Control:
    """What libraries for control vectors keep in a plain attribute of the module that they put in."""

    vector: torch.Tensor | None = None
    normalised: bool = False
    others: dict[str, list[torch.Tensor]] = field(default_factory=dict)


class Controlled(torch.nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.control, self.bias = layer, Control(), [torch.zeros(32)]

    def forward(self, rows: torch.Tensor) -> Any:
        output = self.layer(rows) + self.bias[0]
        control = self.control
        if control.vector is not None:
            output = output + control.vector
        for vector in control.others.get("more", ()):
            output = output - vector
        return torch.nn.functional.normalize(output, dim=-1) if control.normalised else output


def set_vector(own: Controlled) -> None:
    own.control = Control(VECTOR)


def change_vector_in_place(own: Controlled) -> None:
    own.control.vector = VECTOR.clone()
    own.control.vector.mul_(-2)


def set_flag(own: Controlled) -> None:
    own.control.normalised = True


def set_vector_deep_inside(own: Controlled) -> None:
    own.control.others["more"] = [3 * VECTOR]


def set_vector_in_a_list(own: Controlled) -> None:
    own.bias[0] = 4 * VECTOR


@IN_EACH_MODE
@pytest.mark.parametrize(
    "change",
    [set_vector, change_vector_in_place, set_flag, set_vector_deep_inside, set_vector_in_a_list],
)
def test_vectors_in_a_module_of_the_callers_own(change: Callable[[Any], None], options: dict[str, Any]):
    model = tiny_model()
    own = model.model.layers[0].mlp = Controlled(model.model.layers[0].mlp)
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    marks, before = [backbone.fingerprint], assert_own(backbone, asked)
    assert decode(backbone, [asked])[0].prompt_passes == 0
    change(own)
    assert assert_own(backbone, asked) != before
    marks.append(backbone.fingerprint)
    own.control, own.bias = Control(), [torch.zeros(32)]
    assert assert_own(backbone, asked) == before
    assert marks[0] != marks[1]
    assert backbone.fingerprint == marks[0]


# -- another form of the same model


@IN_EACH_MODE
@pytest.mark.parametrize("number", ["bfloat16", "float64"])
def test_a_model_that_is_converted_while_it_is_in_use(number: str, options: dict[str, Any]):
    model = tiny_model()
    backbone = wrapped(model, **options)
    assert_own(backbone, request())
    model.to(getattr(torch, number))
    assert (backbone.number_format, str(backbone.dtype)) == (number, f"torch.{number}")
    assert_own(backbone, request())
    model.float()
    assert backbone.number_format == "float32"
    assert_own(backbone, request())


@IN_EACH_MODE
def test_embeddings_that_grow_while_a_model_is_in_use(options: dict[str, Any]):
    model = tiny_model()
    backbone = wrapped(model, **options)
    before = assert_own(backbone, request())
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model.resize_token_embeddings(300)
    assert backbone.policy.vocabulary_size == 300
    assert written(backbone, request()) == generated(model, request())
    assert before == written(wrapped(tiny_model(), **options), request())


@IN_EACH_MODE
def test_training_between_two_questions(options: dict[str, Any]):
    """As with reinforcement learning: a step for all weights, then the next question."""
    model = tiny_model()
    backbone = Backbone.from_model(model, tiny_tokenizer(), decoding=DecodingOptions(**options))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen = []
    for _ in range(3):
        seen.append(tuple(assert_own(backbone, request(reuse_completion=True))))
        loss = model(torch.tensor([request().prompt_ids]), labels=torch.tensor([request().prompt_ids])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert len(set(seen)) > 1
