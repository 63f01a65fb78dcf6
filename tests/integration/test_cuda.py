"""On a GPU: the same texts as on the CPU, and the GPU's memory. Skipped where there is none."""

import copy
from typing import Any

import pytest
import torch

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
from latentseek_agents.engine._decoding.packed_forward import PackedModel, RowSlice
from latentseek_agents.engine._decoding.token_choice import tokens_at
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.testing import tiny_backbone
from latentseek_agents.tools.ground_truth import GroundTruth
from tests.support.batch_decoding import cache_of, model_decoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

PROMPT = [3 + (41 * i) % 250 for i in range(20)]


def on_gpu(backbone: Backbone, dtype: torch.dtype = torch.float32, **options: Any) -> Backbone:
    model = copy.deepcopy(backbone.model).to("cuda", dtype)
    return Backbone.from_model(model, backbone.tokenizer, decoding=DecodingOptions(**options))


def requests(temperature: float = 0.0, **changes: Any) -> list[DecodeRequest]:
    """Rows of different lengths, one of them too long to be read beside others."""
    prompts = [PROMPT[i % 5 :] if i else PROMPT * 5 for i in range(12)]
    return [
        DecodeRequest(
            prompt_ids=prompt,
            forced_ids=[7] * (i % 3),
            max_new_tokens=16 + i,
            end_token_ids=frozenset(),
            temperature=temperature,
            seed=i,
            **changes,
        )
        for i, prompt in enumerate(prompts)
    ]


def texts(backbone: Backbone, asked: list[DecodeRequest]) -> list[list[int]]:
    return [completion.token_ids for completion in decode(backbone, asked)]


# Not Gemma: its soft cap makes near ties of all large logits, which two devices round to different sides.
@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Mistral"])
@pytest.mark.parametrize("batch", [True, False])
def test_the_same_is_written_as_on_the_cpu(architecture: str, batch: bool):
    backbone = tiny_backbone(architecture)
    gpu = on_gpu(backbone, batch=batch)
    assert (model_decoder(gpu).packed is not None) == batch
    offsets = 0.3 * torch.randn(9, 32, generator=torch.Generator().manual_seed(1))
    for asked in (requests(), requests(0.8), requests(offsets=offsets), requests(0.8, offsets=offsets)):
        assert texts(gpu, asked) == texts(backbone, asked)


@pytest.mark.parametrize("latents", ["consistent", "independent"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_search_takes_the_same_way_as_on_the_cpu(latents: Any, temperature: float):
    backbone = tiny_backbone("Qwen2")
    config = LatentSeekConfig(
        latents=latents,
        fraction=0.8,
        learning_rate=0.1,
        temperature=temperature,
        max_iterations=4,
        max_new_tokens=24,
        refine_unjudged=True,
    )

    def searched(policy: Backbone) -> list[list[int]]:
        search = Search(policy, GroundTruth(), config)
        *_, state = run(search, draft(search, "What is 1 + 1?", "2"))
        return [attempt["token_ids"] for attempt in state["iterations"]]

    found = searched(on_gpu(backbone))
    assert len(found) == 5
    assert found == searched(backbone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("architecture", "head_dim"), [("Qwen2", 8), ("Mistral", 8), ("Gemma2", 8), ("Llama", 6)]
)
def test_a_pass_computes_what_the_model_computes_alone(dtype: torch.dtype, architecture: str, head_dim: int):
    backbone = on_gpu(tiny_backbone(architecture, head_dim=head_dim), dtype)
    ragged, store = PackedModel(backbone.model), KeyValueStore()
    store.reserve(4, 256)
    # One read in a go, two of different lengths side by side, one behind what it read before.
    texts = {0: PROMPT * 5, 1: PROMPT[:7], 2: PROMPT[:3], 3: PROMPT}
    ragged.forward(store, [RowSlice(3, 0, texts[3][:11])])
    rows = [
        RowSlice(slot, 11 if slot == 3 else 0, ids[11 if slot == 3 else 0 :]) for slot, ids in texts.items()
    ]
    got = ragged.forward(store, rows).float()
    alone = {slot: backbone.policy.layers(torch.tensor([ids])) for slot, ids in texts.items()}
    expected = torch.cat([alone[row.slot][row.start :] for row in rows]).float()
    tolerance = float(expected.abs().max()) * max(1e-3, 16 * torch.finfo(dtype).eps)
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


def test_half_precision_is_decoded_in_batches():
    gpu = on_gpu(tiny_backbone("Qwen2"), torch.bfloat16)
    assert model_decoder(gpu).packed is not None
    written = texts(gpu, requests(0.8))
    assert [len(tokens) for tokens in written] == [16 + i + i % 3 for i in range(12)]


def test_what_has_no_probability_is_never_drawn():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 3000, generator=generator)
    forbidden = torch.rand(200, 3000, generator=generator) < 0.9
    logits = logits.masked_fill(forbidden, -torch.inf).to("cuda")
    draws = [number / 200 for number in range(199)] + [1 - 2**-53]
    tokens = tokens_at(logits, [0.7] * 200, draws).cpu()
    assert not bool(forbidden.gather(-1, tokens[:, None]).any())


def test_memory_is_a_share_of_the_gpus():
    backbone = tiny_backbone()
    free, _ = torch.cuda.mem_get_info()
    kept = cache_of(on_gpu(backbone)).max_tokens
    assert kept > cache_of(backbone).max_tokens
    assert kept * backbone.policy.bytes_per_cached_token <= free / 8
    assert cache_of(on_gpu(backbone, max_kept_tokens=100)).max_tokens == 100
