"""Settings of a search from the command line: ``--preset``, ``--set`` and the options that have a name."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentseek_agents.cli.process import fast_imports
from latentseek_agents.errors import ConfigError

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig

CONSISTENT = "consistent"
AGREEMENT = "agreement"
PLAIN = "plain"
OWN_PRESETS = (AGREEMENT, CONSISTENT, PLAIN)
"""Presets that are none of the paper's."""
_ANY_MODEL = "Qwen2.5-1.5B-Instruct"


@dataclass(frozen=True)
class SearchOptions:
    """Settings of a search that several commands take."""

    max_iterations: Annotated[
        int | None,
        typer.Option(help="Most attempts after the draft. [default: 5, or the preset's]"),
    ] = None
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of one solution. [default: 1024]")
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="[MODEL:]DATASET",
            help="The paper's settings, for example gsm8k or Qwen2.5-7B-Instruct:gsm8k; or agreement, a vote "
            "of the attempts; consistent, the same latents without a vote; plain, those of "
            "LatentSeekConfig(). [default: agreement]",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A field of LatentSeekConfig, for example fraction=0.5; may be repeated.",
        ),
    ] = None
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling.")] = None

    def config(
        self, *, model: str | None = None, reward: Literal["self", "psrm"] = "self", **more: Any
    ) -> "LatentSeekConfig":
        """The settings: those with an option before those of ``--set``, and both before the preset.

        Args:
            model: Whose preset, if ``preset`` names none.
            reward: Which of the paper's tables.
            **more: Further values by name, as if they had an option of their own.

        Raises:
            ConfigError: A setting is none, or out of range; the message says what there is.

        Example:
            >>> options = SearchOptions(seed=3, settings=["fraction=0.5"], preset="Qwen2-7B-Instruct:gsm8k")
            >>> config = options.config()
            >>> config.seed, config.fraction, config.learning_rate
            (3, 0.5, 0.03)
        """
        with fast_imports():
            from latentseek_agents.config import LatentSeekConfig
            from latentseek_agents.presets import find_preset

        values: dict[str, Any] = {}
        for setting in self.settings or ():
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
        options = asdict(self) | more
        del options["settings"]
        preset = options.pop("preset")
        values |= {name: value for name, value in options.items() if value is not None}
        if preset in (None, AGREEMENT):
            return LatentSeekConfig.agreement(**values)
        if preset == CONSISTENT:
            return LatentSeekConfig.consistent(**values)
        if preset == PLAIN:
            return LatentSeekConfig(**values)
        named, _, dataset = preset.rpartition(":")
        if not named and model is None:
            find_preset(_ANY_MODEL, dataset, "boxed")  # a data set that is none is the first thing to say
            raise ConfigError(
                f"--preset {preset}: the embedded model is not in the paper; name one that is, "
                f"as in --preset Qwen2.5-1.5B-Instruct:{preset}"
            )
        return LatentSeekConfig.preset(named or str(model), dataset, reward=reward, **values)


@dataclass(frozen=True)
class SolveOptions(SearchOptions):
    """Settings that ``latentseek solve`` has options for; ``--set`` sets the others."""

    learning_rate: Annotated[
        float | None, typer.Option(help="Step length of the latents. [default: the preset's]")
    ] = None
    fraction: Annotated[
        float | None,
        typer.Option(help="Share of the draft that becomes latents. [default: the preset's]"),
    ] = None
    latents: Annotated[
        str | None,
        typer.Option(help="independent (the paper's) or consistent (stays fluent). [default: the preset's]"),
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(
            help="How to ask for the answer: boxed (\\boxed{}), json, or example (a solved question "
            "first, for small models). [default: boxed; for the embedded model example]"
        ),
    ] = None
    max_seconds: Annotated[float | None, typer.Option(help="Wall-clock budget of one question.")] = None

    @property
    def sets_prompt(self) -> bool:
        """Whether someone chose a prompt, by itself or with a preset of the paper's."""
        named = any(one.partition("=")[0].strip() == "prompt" for one in self.settings or ())
        return self.prompt is not None or named or self.preset not in (None, *OWN_PRESETS)
