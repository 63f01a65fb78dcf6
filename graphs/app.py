"""Entry points for a LangGraph server; ``langgraph.json`` names ``refine`` and ``math_agent``.

Nothing is loaded when this module is imported: a model is loaded once, by the first run that needs it. The
graphs have no checkpointer, since the server brings its own. The environment says what is served:

====================================  ===================================================================
``LATENTSEEK_MODEL``                  Hugging Face name, folder or GGUF file. Several, separated by commas:
                                      the first is the default, a run's context may choose another of them.
                                      Default: the embedded SmolLM2-135M-Instruct.
``LATENTSEEK_DTYPE``                  ``float32``, ``bfloat16``, ``float16`` or, on a CPU, ``int8``.
                                      Default: int8 on a CPU that is fast at it, as the log says; else as in
                                      ``Backbone``.
``LATENTSEEK_ENGINE``                 ``own`` or ``vllm`` (default ``own``).
``LATENTSEEK_VLLM_ARGS``              Arguments of vLLM's engine, a JSON object.
``LATENTSEEK_VERIFIER``               ``steps``, ``program``, ``self``, ``self_logprob``, ``truth`` or several
                                      (default ``steps,program``).
``LATENTSEEK_MAX_NEW_TOKENS``         Most tokens of a solution.
``LATENTSEEK_MAX_ITERATIONS``         Most refinements.
====================================  ===================================================================

The other settings are those of ``LatentSeekConfig.agreement()``, with a solved question first
(``prompt="example"``) for the embedded model. A run's context may change the settings of
:class:`ServerContext`.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.engines import engine_arguments
from latentseek_agents.engine.fastest import fastest_backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.graphs.math_agent import MathAgentNodes, math_agent_graph
from latentseek_agents.graphs.refine import refine_graph
from latentseek_agents.graphs.state import RefineContext
from latentseek_agents.loop import Search
from latentseek_agents.tools.named import DEFAULT_VERIFIERS, named_verifier, verifier_names

__all__ = ["Server", "ServerContext", "math_agent", "refine", "server"]

_EMBEDDED = "SmolLM2-135M-Instruct"
_NUMBER_FORMATS = ("float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True, kw_only=True)
class ServerContext(RefineContext):
    """What one run may change: the search's settings, and the model."""

    model: str | None = None
    """One of those in ``LATENTSEEK_MODEL``; None is the first of them."""


@dataclass(frozen=True)
class _Loaded:
    search: Search
    math_agent: MathAgentNodes


@dataclass(kw_only=True)
class Server:
    """The models that are served, each loaded by the first run that needs it.

    Args:
        models: Their names; the first is the default.
        verifier: Names of verifiers.
        config: Settings of the search.
        dtype: Their number format; None is int8 where the processor is fast at it.
        vllm_args: Arguments of vLLM's engine; None for our own engine.

    Example:
        >>> Server.from_environment({"LATENTSEEK_MODEL": "a/b, c/d", "LATENTSEEK_VERIFIER": "steps"}).models
        ('a/b', 'c/d')
    """

    models: tuple[str, ...] = (_EMBEDDED,)
    verifier: tuple[str, ...] = DEFAULT_VERIFIERS
    config: LatentSeekConfig = field(default_factory=LatentSeekConfig.agreement)
    dtype: str | None = None
    vllm_args: dict[str, Any] | None = None
    _loaded: dict[str, _Loaded] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """As the module's description says; an empty variable counts as unset.

        Raises:
            ConfigError: A variable does not say what it should.
        """
        models = [name.strip() for name in environment.get("LATENTSEEK_MODEL", "").split(",")]
        verifier = environment.get("LATENTSEEK_VERIFIER") or ",".join(DEFAULT_VERIFIERS)
        changes = {
            name: _whole_number(variable, environment[variable])
            for name in ("max_new_tokens", "max_iterations")
            if environment.get(variable := f"LATENTSEEK_{name.upper()}")
        }
        return cls(
            models=tuple(name for name in models if name) or (_EMBEDDED,),
            verifier=verifier_names(verifier, setting="LATENTSEEK_VERIFIER"),
            config=LatentSeekConfig.agreement(**changes),
            dtype=_number_format(environment.get("LATENTSEEK_DTYPE") or None),
            vllm_args=engine_arguments(
                environment.get("LATENTSEEK_ENGINE") or None, environment.get("LATENTSEEK_VLLM_ARGS") or None
            ),
        )

    def search(self, runtime: Runtime[Any]) -> Search:
        """The search with the model of this run."""
        return self._nodes(runtime).search

    def math_agent_nodes(self, runtime: Runtime[Any]) -> MathAgentNodes:
        """The agent with the model of this run."""
        return self._nodes(runtime).math_agent

    def decoder(self, fingerprint: str) -> Callable[[list[int]], str] | None:
        """Token ids to text, special tokens included, by a model that is loaded; None if it is not.

        Args:
            fingerprint: ``Backbone.fingerprint``, the ``model`` of a search's state.
        """
        for loaded in list(self._loaded.values()):
            backbone = loaded.search.backbone
            if backbone.fingerprint == fingerprint:
                return partial(backbone.decode, skip_special_tokens=False)
        return None

    def _nodes(self, runtime: Runtime[Any]) -> _Loaded:
        context = runtime.context
        chosen = context.model if isinstance(context, ServerContext) else None
        name = self.models[0] if chosen is None else chosen
        # A client must not make the server download and load whatever it likes.
        if name not in self.models:
            raise ConfigError(
                f"the model {name!r} is not served; choose one of {', '.join(self.models)}, "
                "or name it in LATENTSEEK_MODEL and start the server again"
            )
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def _load(self, name: str) -> _Loaded:
        is_embedded = name == _EMBEDDED
        backbone = self._backbone(None if is_embedded else name)
        # A model of its size writes no equations unless it sees some, and then nothing can be checked.
        config = self.config.replace(prompt="example") if is_embedded else self.config
        verifier = named_verifier(self.verifier, backbone, agreement=config.acceptance == "agreement")
        return _Loaded(
            Search(backbone, verifier, config, control_flow=(GraphBubbleUp,)),
            MathAgentNodes(backbone, verifier=verifier, config=config),
        )

    def _backbone(self, name: str | None) -> Backbone:
        if self.vllm_args is not None:
            return Backbone.vllm(name, dtype=self.dtype, **self.vllm_args)
        return fastest_backbone(name, dtype=self.dtype)


def _number_format(value: str | None) -> str | None:
    if value not in (None, *_NUMBER_FORMATS):
        raise ConfigError(f"LATENTSEEK_DTYPE={value!r} is unknown; use one of {', '.join(_NUMBER_FORMATS)}")
    return value


def _whole_number(variable: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{variable}={value!r} is no whole number") from None


server = Server.from_environment(os.environ)
"""What this process serves."""

refine = refine_graph(server.search, ServerContext).compile(name="refine")
"""Draft, verify, refine: see :func:`~latentseek_agents.graphs.refine.create_refine_graph`."""

math_agent = math_agent_graph(server.math_agent_nodes, ServerContext).compile(name="math_agent")
"""The agent with tools: see :func:`~latentseek_agents.graphs.math_agent.create_math_agent`."""
