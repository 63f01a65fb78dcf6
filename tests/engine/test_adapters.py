"""What is kept belongs to the weights it was computed with: adapters, merges, weights changed in place."""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import peft
import pytest
import torch
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import Completion, DecodeRequest, DecodingOptions, decode
from latentseek_agents.errors import BackboneError
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.testing import ScriptedVerifier, tiny_model, tiny_tokenizer
from tests.support.batch_decoding import cache_of, decoder_of, request, text

pytestmark = [
    # PEFT asks transformers by an old name, and warns of what these tests do on purpose.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]
OPTIONS = [{}, {"batch": False}]
IN_EACH_MODE = pytest.mark.parametrize("options", OPTIONS, ids=str)
LORA: dict[str, Any] = {"r": 4, "lora_alpha": 16, "task_type": "CAUSAL_LM", "init_lora_weights": False}
SETTINGS = LatentSeekConfig(max_new_tokens=12, fraction=0.5, max_iterations=1, learning_rate=0.3)


def lora(*targets: str, **changes: Any) -> peft.LoraConfig:
    return peft.LoraConfig(**LORA | {"target_modules": list(targets or ("q_proj", "v_proj"))} | changes)


def adapted(*names: str, **changes: Any) -> Any:
    """A tiny Llama with random adapters of these names, the first of which is active."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model: Any = peft.get_peft_model(tiny_model(), lora(**changes), adapter_name=(names or ("one",))[0])
        for name in names[1:]:
            model.add_adapter(name, lora(**changes))
    return model.eval()


def wrapped(model: Any, **options: Any) -> Backbone:
    return Backbone.from_model(model, tiny_tokenizer(), decoding=DecodingOptions(**options))


def generated(model: Any, asked: DecodeRequest) -> list[int]:
    """What the model's own ``generate`` writes."""
    ids = torch.tensor([[*asked.prompt_ids, *asked.forced_ids]])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=asked.max_new_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return list(out[0, len(asked.prompt_ids) :].tolist())


def written(backbone: Backbone, asked: DecodeRequest) -> list[int]:
    return decode(backbone, [asked])[0].token_ids


def assert_own(backbone: Backbone, asked: DecodeRequest) -> list[int]:
    """What is written now is what ``generate`` writes now."""
    got = written(backbone, asked)
    assert got == generated(backbone.model, asked)
    return got


def scaled(model: Any) -> None:
    with torch.no_grad():
        model.get_base_model().model.layers[0].mlp.up_proj.weight.mul_(-1)


def scaled_through_data(model: Any) -> None:
    model.get_base_model().model.layers[1].self_attn.o_proj.weight.data.mul_(-3)


def replaced_data(model: Any) -> None:
    weight = model.get_base_model().model.embed_tokens.weight
    weight.data = weight.data.flip(0).clone()


def replaced_parameter(model: Any) -> None:
    layer = model.get_base_model().model.layers[0].self_attn.k_proj
    layer.weight = torch.nn.Parameter(layer.weight.detach().flip(0).clone())


def replaced_layer(model: Any) -> None:
    other = tiny_model(seed=3).model.layers[1]
    model.get_base_model().model.layers[1].mlp = other.mlp


def replaced_head(model: Any) -> None:
    model.get_base_model().lm_head = tiny_model(seed=3).lm_head


def loaded(model: Any) -> None:
    model.get_base_model().lm_head.load_state_dict(tiny_model(seed=5).lm_head.state_dict())


def trained(model: Any) -> None:
    parameters = [value for name, value in model.named_parameters() if "lora" in name]
    optimizer = torch.optim.AdamW(parameters, lr=1.0)
    for value in parameters:
        value.grad = torch.ones_like(value)
    optimizer.step()


def rescaled(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("one", -4.0)


def with_another_adapter(model: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        model.add_adapter("two", lora("mlp.up_proj", "o_proj"))
    model.set_adapter("two")


def without_adapter(model: Any) -> None:
    model.unload()


def merged(model: Any) -> None:
    model.merge_and_unload()


def merged_in_place(model: Any) -> None:
    model.merge_adapter()


CHANGES: list[Callable[[Any], None]] = [
    scaled, scaled_through_data, replaced_data, replaced_parameter, replaced_layer, replaced_head, loaded,
    trained, rescaled, with_another_adapter, without_adapter, merged, merged_in_place,
]  # fmt: skip


@IN_EACH_MODE
@pytest.mark.parametrize("change", CHANGES)
def test_after_any_change_of_the_weights_the_model_writes_its_own(
    change: Callable[[Any], None], options: Any
):
    model = adapted("one")
    core = model.get_base_model()
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    before = assert_own(backbone, asked)
    logits, mark = backbone.logits(torch.ones(3, 32)), backbone.fingerprint
    change(model)
    # A model that was unwrapped is asked by itself: the wrapper of an adapter that is gone may not run.
    expected = generated(core, asked)
    assert written(backbone, asked) == expected
    assert written(backbone, request(forced_ids=expected[:4], max_new_tokens=8)) == expected
    assert backbone.fingerprint != mark
    if change in (replaced_head, loaded):
        assert not torch.allclose(backbone.logits(torch.ones(3, 32)), logits)
    if change not in (merged, merged_in_place):  # which compute the same
        assert before != expected


@IN_EACH_MODE
def test_adapters_in_turn(options: Any):
    """Base, two adapters, both, and base again; what was kept of each is used again for each alone."""
    model = adapted("one", "two")
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    seen = []
    for _ in range(2):
        seen.append(assert_own(backbone, asked))
        with model.disable_adapter():
            seen.append(assert_own(backbone, asked))
        model.set_adapter("two")
        seen.append(assert_own(backbone, asked))
        model.base_model.set_adapter(["one", "two"])
        seen.append(assert_own(backbone, asked))
        model.set_adapter("one")
    assert len({tuple(one) for one in seen[:4]}) == 4
    assert seen[:4] == seen[4:]
    if options == {}:
        kept = decode(backbone, [asked])[0]
        assert kept.prompt_passes == 0


@contextmanager
def merged_for_a_while(model: Any) -> Iterator[None]:
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()


@IN_EACH_MODE
def test_merged_in_place_and_unmerged_again(options: Any):
    model = adapted("one")
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    first = assert_own(backbone, asked)
    with merged_for_a_while(model):
        assert assert_own(backbone, asked) == first
        # PEFT takes the adapter out of the weights during the next pass.
        with model.disable_adapter():
            base = assert_own(backbone, asked)
            assert written(backbone, asked) == base
    assert base == generated(tiny_model(), asked) != first
    assert assert_own(backbone, asked) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": ["lm_head", "q_proj"]},
        {"target_modules": ["embed_tokens", "down_proj"]},
        {"modules_to_save": ["lm_head"]},
        {"use_dora": True},
        {"trainable_token_indices": [40, 41, 42, 43, 44, 45, 46]},
    ],
    ids=str,
)
def test_adapters_of_other_places(changes: dict[str, Any]):
    model = adapted("one", **changes)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "modules_to_save.one" in name or "trainable_tokens_delta" in name:
                value.mul_(-1.5)
    backbone = wrapped(model)
    asked = request(prompt_ids=[40, 41, 42, 43, 44, 45, 46, *text(12)], max_new_tokens=24)
    z = torch.linspace(-3, 3, 96).reshape(3, 32)
    for _ in range(2):
        one = assert_own(backbone, asked)
        with model.disable_adapter():
            assert assert_own(backbone, asked) != one
            plain = tiny_model()
            torch.testing.assert_close(backbone.logits(z), plain.lm_head(z))
    assert decoder_of(backbone).packed is not None


@pytest.mark.parametrize("method", ["LoHaConfig", "IA3Config", "OFTConfig", "VeraConfig", "LNTuningConfig"])
def test_other_methods_than_lora(method: str):
    options: dict[str, Any] = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "down_proj"]}
    more: dict[str, dict[str, Any]] = {
        "IA3Config": {"feedforward_modules": ["down_proj"]},
        "OFTConfig": {"oft_block_size": 4},
        "VeraConfig": {"target_modules": ["o_proj"], "r": 4},
        "LNTuningConfig": {"target_modules": ["input_layernorm"]},
    }
    options |= more.get(method, {})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model: Any = peft.get_peft_model(tiny_model(), getattr(peft, method)(**options)).eval()
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    value.add_(torch.randn_like(value))
    backbone = wrapped(model)
    for _ in range(2):
        one = assert_own(backbone, request(reuse_completion=True))
        with model.disable_adapter():
            assert assert_own(backbone, request(reuse_completion=True)) != one


class OwnAdapter(torch.nn.Module):
    """What people write without PEFT: a layer, and a flag that switches something beside it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.enabled, self.factor = layer, True, 2.0

    def forward(self, rows: torch.Tensor) -> Any:
        return self.layer(rows) * self.factor if self.enabled else self.layer(rows)


@IN_EACH_MODE
def test_a_switch_of_the_callers_own(options: Any):
    model = tiny_model()
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    base = assert_own(backbone, asked)
    model.model.layers[0].mlp.up_proj = own = OwnAdapter(model.model.layers[0].mlp.up_proj)
    marks, texts = [backbone.fingerprint], [assert_own(backbone, asked)]
    own.factor = -3.0
    texts.append(assert_own(backbone, asked))
    marks.append(backbone.fingerprint)
    own.enabled = False
    assert assert_own(backbone, asked) == base
    marks.append(backbone.fingerprint)
    assert len({tuple(one) for one in (*texts, base)}) == 3
    assert len(set(marks)) == 3


@IN_EACH_MODE
def test_an_adapter_put_into_a_model_that_is_in_use(options: Any):
    model = tiny_model()
    backbone = wrapped(model, **options)
    asked = request(reuse_completion=True)
    base = assert_own(backbone, asked)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        outside: Any = peft.get_peft_model(model, lora("q_proj", "up_proj", "lm_head")).eval()
    assert written(backbone, asked) == generated(outside, asked) != base
    with outside.disable_adapter():
        assert written(backbone, asked) == base


def three_models() -> list[Any]:
    model = adapted("one")
    return [tiny_model(), model, copy.deepcopy(model).merge_and_unload()]


def test_base_adapter_and_merged_model_in_threads_and_in_batches():
    """Three backbones, asked at once from many threads, several requests in each call."""
    backbones = [wrapped(model) for model in three_models()]
    requests = [request(prompt_ids=text(20 + n, n), max_new_tokens=10) for n in range(4)]
    expected = [[generated(b.model, asked) for asked in requests] for b in backbones]

    def ask(number: int) -> list[list[int]]:
        return [completion.token_ids for completion in decode(backbones[number % 3], requests)]

    with ThreadPoolExecutor(9) as pool:
        got = list(pool.map(ask, range(18)))
    assert got == [expected[number % 3] for number in range(18)]


def test_one_model_whose_adapter_is_switched_between_the_calls_of_threads():
    model = adapted("one", "two")
    backbone = wrapped(model)
    requests = [
        request(prompt_ids=text(20 + n, n), max_new_tokens=8, reuse_completion=True) for n in range(3)
    ]
    turn = threading.Lock()

    def ask(number: int) -> bool:
        with turn:
            model.set_adapter(("one", "two")[number % 2])
            with model.disable_adapter() if number % 3 == 0 else nullcontext():
                got = [completion.token_ids for completion in decode(backbone, requests)]
                return got == [generated(model, asked) for asked in requests]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(12)))


@IN_EACH_MODE
def test_a_switch_in_the_middle_of_a_text_is_an_error(options: Any):
    model = adapted("one")
    backbone = wrapped(model, **options)
    count = 0

    def switch(_: int) -> None:
        nonlocal count
        count += 1
        if count == 3:
            model.base_model.disable_adapter_layers()

    with pytest.raises(BackboneError, match="adapters were switched, while it was writing; ask again"):
        decode(backbone, [request(max_new_tokens=400, on_token=switch)])
    assert_own(backbone, request())
    model.base_model.enable_adapter_layers()
    assert_own(backbone, request())


def test_the_search_writes_what_a_model_without_anything_kept_writes():
    model = adapted("one", "two")
    backbone = wrapped(model)

    def solved(one: Backbone) -> list[str]:
        result = LatentSeek(one, verifier=ScriptedVerifier([-1.0]), config=SETTINGS).invoke("What is 2 + 2?")
        return [attempt["text"] for attempt in result.iterations]

    texts = []
    for name in ("one", "two", "one"):
        model.set_adapter(name)
        texts.append(solved(backbone))
        assert texts[-1] == solved(wrapped(model, reuse=False))
        with model.disable_adapter():
            assert solved(backbone) == solved(wrapped(model, reuse=False)) == solved(wrapped(tiny_model()))
    assert texts[0] == texts[2] != texts[1]


def test_the_second_turn_of_a_chat():
    """The first turn's prompt is a beginning of the second one's, but for the base model it is unread."""
    model = adapted("one")
    chat = ChatLatentSeek(backbone=wrapped(model), max_tokens=16)
    talk: list[Any] = [HumanMessage("Count to a hundred, please: one, two, three, four, five, six, seven.")]
    first = chat.invoke(talk)
    talk += [AIMessage(first.content), HumanMessage("Go on, please.")]
    with model.disable_adapter():
        got = chat.invoke(talk)
        fresh = ChatLatentSeek(backbone=wrapped(model, reuse=False), max_tokens=16).invoke(talk)
    assert got.content == fresh.content != chat.invoke(talk).content


def test_langchains_cache_tells_adapters_apart():
    model = adapted("one")
    chat = ChatLatentSeek(backbone=wrapped(model), max_tokens=12, cache=InMemoryCache())
    first = chat.invoke("Hello?").content
    with model.disable_adapter():
        assert chat.invoke("Hello?").content != first
    assert chat.invoke("Hello?").content == first


@pytest.mark.parametrize(
    "change", [scaled, scaled_through_data, with_another_adapter, rescaled, merged_in_place]
)
def test_a_search_is_not_resumed_with_other_weights(change: Callable[[Any], None]):
    model = adapted("one")
    search = Search(wrapped(model), ScriptedVerifier([-1.0]), SETTINGS)
    state = next(run(search, draft(search, "What is 2 + 2?")))
    change(model)
    with pytest.raises(BackboneError, match="begun with another model or dtype"):
        next(run(search, state))


def test_a_search_is_resumed_with_its_adapter_alone():
    model = adapted("one", "two")
    search = Search(wrapped(model), ScriptedVerifier([-1.0]), SETTINGS)
    state = next(run(search, draft(search, "What is 2 + 2?")))
    for switched in (model.disable_adapter, lambda: in_use(model, "two")):
        with switched(), pytest.raises(BackboneError, match="begun with another model or dtype"):
            next(run(search, state))
    # In another process the same model has the same name.
    again = Search(wrapped(adapted("one", "two")), ScriptedVerifier([-1.0]), SETTINGS)
    assert next(run(again, state))["iterations"] == next(run(search, state))["iterations"]


@contextmanager
def in_use(model: Any, name: str) -> Iterator[None]:
    before = model.active_adapter
    model.set_adapter(name)
    yield
    model.set_adapter(before)


def test_what_is_kept_of_all_weights_shares_one_limit():
    model = adapted("one")
    backbone = wrapped(model, max_kept_tokens=50)
    assert_own(backbone, request())
    with model.disable_adapter():
        assert_own(backbone, request(prompt_ids=text(20, 1)))
        assert_own(backbone, request(prompt_ids=text(20, 2)))
        assert len(cache_of(backbone).keys()) == 2
    assert cache_of(backbone).keys() == []
    assert len(cache_of(backbone)) == 2


def test_nothing_kept_is_lost_where_nothing_changed():
    """A watch that saw changes where there are none would make every call read its prompt again."""
    backbone = wrapped(adapted("one"))
    first, second = (decode(backbone, [request()])[0] for _ in range(2))
    assert (first.prompt_passes, second.prompt_passes) == (1, 0)
    packed = decoder_of(backbone).packed
    with backbone.model.disable_adapter():
        decode(backbone, [request()])
        assert decoder_of(backbone).packed is packed  # adapters are no copies
    assert isinstance(first, Completion)


def test_another_threads_look_at_the_weights_is_no_change_of_them():
    seen: list[int] = []

    class Head(torch.nn.Linear):
        """Asks, as another thread may, whether the weights are the same while they are being looked at."""

        def __getattribute__(self, name: str) -> Any:
            if name == "_non_persistent_buffers_set" and watching:
                seen.append(watching[0].running_weights())
            return super().__getattribute__(name)

    watching: list[Any] = []
    model = tiny_model()
    model.lm_head = Head(32, model.config.vocab_size, bias=False)
    model.lm_head.register_buffer("scale", torch.ones(1))
    policy = wrapped(model).policy
    before = policy.weights()
    watching.append(policy)
    assert policy.weights() == before
    assert set(seen) == {before.running}
