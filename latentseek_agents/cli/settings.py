"""Settings of a search from the command line: ``--preset``, ``--set`` and the options that have a name."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from latentseek_agents.errors import ConfigError

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig

__all__ = [
    "CONSISTENT",
    "MAX_ITERATIONS_HELP",
    "MAX_NEW_TOKENS_HELP",
    "PRESET_HELP",
    "SET_HELP",
    "search_config",
]

CONSISTENT = "consistent"
_ANY_MODEL = "Qwen2.5-1.5B-Instruct"
PRESET_HELP = (
    "The paper's settings, for example gsm8k or Qwen2.5-7B-Instruct:gsm8k; or consistent, those of "
    "context-consistent latents."
)
SET_HELP = "A field of LatentSeekConfig, for example fraction=0.5; may be repeated."
MAX_ITERATIONS_HELP = "Most refinements after the draft. [default: 10, or the preset's]"
MAX_NEW_TOKENS_HELP = "Most tokens of one solution. [default: 1024]"


def search_config(
    options: Mapping[str, Any],
    *,
    settings: Sequence[str] = (),
    preset: str | None = None,
    model: str | None = None,
    reward: Literal["self", "psrm"] = "self",
) -> "LatentSeekConfig":
    """The settings, those with an option of their own before those of ``--set``, and both before the preset.

    Args:
        options: Values by name; None is not given.
        settings: As ``--set`` has them, ``"fraction=0.5"``: JSON, or a text.
        preset: A data set of the paper, with a model before it or without; or ``"consistent"``.
        model: Whose preset, if ``preset`` names none.
        reward: Which of the paper's tables.

    Raises:
        ConfigError: A setting is none, or out of range; the message says what there is.

    Example:
        >>> config = search_config({"seed": 3}, settings=["fraction=0.5"], preset="Qwen2-7B-Instruct:gsm8k")
        >>> config.seed, config.fraction, config.learning_rate
        (3, 0.5, 0.03)
    """
    import json

    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.presets import find_preset

    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r}: write it as name=value")
        try:
            values[name.strip()] = json.loads(text)
        except ValueError:
            values[name.strip()] = text
    unknown = [name for name in values if name not in LatentSeekConfig.model_fields]
    if unknown:
        known = ", ".join(sorted(LatentSeekConfig.model_fields))
        raise ConfigError(f"--set {unknown[0]}: there is no such setting; the settings are {known}")
    values |= {name: value for name, value in options.items() if value is not None}
    if preset is None:
        return LatentSeekConfig(**values)
    if preset == CONSISTENT:
        return LatentSeekConfig.consistent(**values)
    named, _, dataset = preset.rpartition(":")
    if not named and model is None:
        find_preset(_ANY_MODEL, dataset, "boxed")  # a data set that is none is the first thing to say
        raise ConfigError(
            f"--preset {preset}: the embedded model is not in the paper; name one that is, "
            f"as in --preset Qwen2.5-1.5B-Instruct:{preset}"
        )
    return LatentSeekConfig.preset(named or str(model), dataset, reward=reward, **values)
