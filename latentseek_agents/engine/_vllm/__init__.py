"""vLLM as a decoder: the search in a logits processor of vLLM's. The door of this package.

vLLM batches, pages, caches and quantises; what the search needs of a model is added to the logits of a step
and read off them (``head.py``). Importing this loads no vLLM.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentseek_agents.engine._vllm.loading import LoadedModel

__all__ = ["LoadedModel", "load_model"]


def load_model(name: str, *, model_name: str, **engine_args: object) -> "LoadedModel":
    """Load a model with vLLM; see :meth:`Backbone.vllm` for the arguments."""
    from latentseek_agents.engine._vllm.loading import load

    return load(name, model_name=model_name, **engine_args)
