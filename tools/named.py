"""Verifiers by name, for the command line and the server."""

from collections.abc import Mapping, Sequence

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.tools.combined import Combined
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.program_verifier import ProgramVerifier
from latentseek_agents.tools.self_reward import Mode, SelfReward
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import Verifier

__all__ = ["DEFAULT_VERIFIERS", "VERIFIERS", "named_verifier", "verifier_names"]

VERIFIERS = ("steps", "self", "self_logprob", "program", "truth")
"""``self_logprob`` asks the model for probabilities of its verdicts, ``self`` for reasons and verdicts;
``program`` compares with what a program for the question prints."""

_MODES: Mapping[str, Mode] = {"self": "generate", "self_logprob": "logprob"}


def verifier_names(value: str, *, setting: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once.

    Args:
        value: The list.
        setting: What it was given as, for the error.

    Raises:
        ConfigError: A name is unknown, or there is none.

    Example:
        >>> verifier_names("steps, self", setting="--verifier")
        ('steps', 'self')
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",") if name.strip()))
    unknown = [name for name in names if name not in VERIFIERS]
    if unknown or not names:
        raise ConfigError(
            f"{setting} {value!r}: {unknown[0] if unknown else 'nothing'!r} is no verifier; "
            f"name one or more of {', '.join(VERIFIERS)}, separated by commas"
        )
    return names


DEFAULT_VERIFIERS = ("steps", "program")
"""What judges in a search for agreement if nothing else is named."""


def named_verifier(names: Sequence[str], backbone: Backbone, *, agreement: bool = False) -> Verifier:
    """The verifiers of these names, combined if there are several.

    Args:
        names: Of :data:`VERIFIERS`.
        backbone: The model that judges, if one does.
        agreement: They judge a search for agreement. There the answer of ``program`` has a vote of its own,
            so beside other verifiers it has no weight in the score.
    """

    def verifier_of(name: str) -> Verifier:
        if name == "steps":
            return StepVerifier()
        if name == "program":
            return ProgramVerifier(backbone)
        return SelfReward(backbone, mode=_MODES[name]) if name in _MODES else GroundTruth()

    if len(names) > 1 and "program" in names:
        # What a program prints is weak evidence: it counts half. It is there already when the first solution
        # is judged, so it is asked first, and its check is always among those reported.
        program_first = sorted(names, key=lambda name: name != "program")
        half = 0 if agreement else 1
        weights = [half if name == "program" else 2 for name in program_first]
        return Combined(map(verifier_of, program_first), weights=weights)
    if len(names) == 2 and "steps" in names and "truth" not in names:
        # A wrong sum decides, and the model is not asked; that no sum is wrong is weak evidence.
        steps_first = sorted(names, key=lambda name: name != "steps")
        return Combined(map(verifier_of, steps_first), weights=[1, 2])
    verifiers = [verifier_of(name) for name in names]
    return verifiers[0] if len(verifiers) == 1 else Combined(verifiers)
