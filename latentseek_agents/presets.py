"""The hyper-parameter tables of the paper: learning rate and ρ per model, data set, prompt and reward.

Source: arXiv 2505.13308, tables 21, 23 and 25 (self-reward), 22, 24 and 26 (PSRM). Common to all:
Adam, K = 10, τ = -0.2, at most 1024 tokens, greedy decoding.
"""

from typing import Literal

from latentseek_agents.errors import ConfigError

__all__ = ["find_preset"]

Cell = tuple[float, float]
"""Learning rate and ρ."""

_SELF: dict[str, dict[str, tuple[Cell, Cell]]] = {
    # model: data set: (boxed, JSON)
    "qwen2-7b-instruct": {
        "gsm8k": ((0.03, 0.2), (0.03, 0.2)),
        "math500": ((0.03, 0.1), (0.03, 0.1)),
        "aime24": ((0.03, 0.1), (0.03, 0.1)),
    },
    "qwen2.5-1.5b-instruct": {
        "gsm8k": ((0.03, 0.05), (10.0, 0.2)),
        "math500": ((0.03, 0.1), (0.03, 0.05)),
        "aime24": ((0.03, 0.1), (10.0, 0.3)),
    },
    "qwen2.5-7b-instruct": {
        "gsm8k": ((0.05, 0.2), (0.05, 0.2)),
        "math500": ((0.03, 0.1), (0.03, 0.1)),
        "aime24": ((0.05, 0.2), (0.05, 0.2)),
    },
    "qwen2.5-14b-instruct": {
        "gsm8k": ((0.03, 0.1), (0.03, 0.1)),
        "math500": ((0.03, 0.1), (0.05, 0.1)),
        "aime24": ((0.03, 0.1), (0.03, 0.1)),
    },
    "llama-3.1-8b-instruct": {
        "gsm8k": ((0.03, 0.2), (0.03, 0.2)),
        "math500": ((0.03, 0.1), (0.03, 0.1)),
        "aime24": ((0.03, 0.2), (0.03, 0.2)),
    },
}

_PSRM_DEFAULT: dict[str, Cell] = {"gsm8k": (0.03, 0.2), "math500": (0.03, 0.1), "aime24": (0.03, 0.1)}

_PSRM_EXCEPTIONS: dict[tuple[str, str, str], Cell] = {
    ("qwen2.5-7b-instruct", "gsm8k", "boxed"): (0.05, 0.2),
    ("qwen2.5-7b-instruct", "gsm8k", "json"): (0.05, 0.2),
    ("qwen2.5-7b-instruct", "aime24", "json"): (0.05, 0.2),
    ("qwen2.5-14b-instruct", "gsm8k", "boxed"): (0.03, 0.1),
    ("qwen2.5-14b-instruct", "gsm8k", "json"): (0.03, 0.1),
}

_DATASETS = {
    "gsm8k": "gsm8k",
    "math500": "math500",
    "math-500": "math500",
    "aime24": "aime24",
    "aime2024": "aime24",
    "aime_2024": "aime24",
}


def find_preset(model: str, dataset: str, prompt: str, reward: Literal["self", "psrm"] = "self") -> Cell:
    """Look one cell up.

    Args:
        model: Hugging Face name; the organisation and the case do not matter.
        dataset: ``"gsm8k"``, ``"math500"`` or ``"aime24"``; Hugging Face names are understood.
        prompt: ``"boxed"`` or ``"json"``.
        reward: ``"self"`` or ``"psrm"``.

    Returns:
        Learning rate and ρ.

    Raises:
        ConfigError: There is no such cell; the message lists the choices.

    Example:
        >>> find_preset("Qwen/Qwen2.5-1.5B-Instruct", "aime24", "json")
        (10.0, 0.3)
    """
    model_key = model.rstrip("/").rsplit("/", 1)[-1].lower().replace("meta-llama-3.1", "llama-3.1")
    dataset_key = _DATASETS.get(dataset.rsplit("/", 1)[-1].lower())
    if model_key not in _SELF:
        raise ConfigError(f"the paper has no preset for the model {model!r}; it has {', '.join(_SELF)}")
    if dataset_key is None:
        raise ConfigError(
            f"the paper has no preset for the data set {dataset!r}; use gsm8k, math500 or aime24"
        )
    if prompt not in ("boxed", "json"):
        raise ConfigError(f"a preset is for the prompt 'boxed' or 'json', but prompt={prompt!r}")
    if reward == "psrm":
        return _PSRM_EXCEPTIONS.get((model_key, dataset_key, prompt), _PSRM_DEFAULT[dataset_key])
    if reward != "self":
        raise ConfigError(f"a preset is for the reward 'self' or 'psrm', but reward={reward!r}")
    boxed, json_cell = _SELF[model_key][dataset_key]
    return boxed if prompt == "boxed" else json_cell
