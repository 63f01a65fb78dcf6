"""The names of the methods under comparison: the search with each reward, its control, and the baselines.

| name | what it does |
| --- | --- |
| ``cot`` | one greedy chain of thought |
| ``bon:N`` | N samples (3 by default), the best by ``combined_program``; ``bon:3:steps``: by step checks |
| ``sc:N`` | N samples, the answer that most give |
| ``vote:N`` | N samples, the answer that wins the verified vote; ``vote:N:steps``: by another verifier |
| ``agreement`` | the search for agreement, as ``LatentSeekConfig.agreement()``: a draft and samples |
| ``agreement:latents`` | the same with latents; ``agreement:samples:steps``: another verifier |
| ``program`` | what a program for the question prints, without a solution |
| ``self``, ``steps``, ``combined`` | the search of latents, with self-reward, step checks, both |
| ``self_logprob``, ``combined_logprob`` | the same, with the model's probabilities in place of its words |
| ``combined_program`` | the search, with step checks and a program for the question |
| ``psrm`` | the search with the known answer as reward: an oracle, the ceiling of the search |
| ``walk`` | ``combined_program`` in random directions, same step lengths; ``walk:psrm``: by another reward |
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import ConfigError

__all__ = ["METHODS"]

METHODS = (
    "cot",
    "bon",
    "sc",
    "vote",
    "agreement",
    "program",
    "walk",
    "self",
    "self_logprob",
    "steps",
    "combined",
    "combined_logprob",
    "combined_program",
    "psrm",
)
"""The methods without arguments, in the order of the paper's table."""

_REWARDS = ("program", *METHODS[METHODS.index("self") :])
_SAMPLED = ("bon", "sc", "vote")
_DEFAULT_REWARD = {
    "bon": "combined_program",
    "walk": "combined_program",
    "vote": "combined_program",
    "agreement": "combined_program",
}
_PROPOSALS = ("latents", "samples")
_MOST_ARGUMENTS = {"bon": 2, "sc": 1, "vote": 2, "agreement": 2, "walk": 1}
_DEFAULT_SAMPLES = 3  # the paper's N


@dataclass(frozen=True)
class MethodName:
    """A method's name, taken apart; reports read names of any other methods, too.

    Args:
        text: For example ``"bon:3:steps"``, or ``"bon-2:steps"`` for the first two samples of it.

    Example:
        >>> name = MethodName("bon:3:psrm")
        >>> name.kind, name.samples, name.reward, name.oracle, name.searches
        ('bon', 3, 'psrm', True, False)
    """

    text: str

    @property
    def kind(self) -> str:
        """The method without its arguments."""
        return re.split(r"[:@-]", self.text)[0]

    @property
    def samples(self) -> int:
        """How many samples it draws; 0 where the name has no number."""
        number = re.match(r"\w+[:@-]([0-9]+)(?::|$)", self.text)
        return int(number[1]) if number else 0

    @property
    def reward(self) -> str | None:
        """What judges its attempts, for example ``"steps"``; None where nothing does."""
        if self.kind in ("cot", "sc", "pass", "program"):
            return None
        named = [part for part in self.text.split(":")[1:] if part in _REWARDS]
        return named[0] if named else _DEFAULT_REWARD.get(self.kind, self.kind)

    @property
    def reward_argument(self) -> str:
        """The reward as it stands in the name, ``":steps"``; empty where it is what the method has anyway."""
        return "" if self.reward in (None, _DEFAULT_REWARD.get(self.kind, self.kind)) else f":{self.reward}"

    @property
    def proposals(self) -> str | None:
        """What the attempts of a search for agreement are, ``"latents"`` or ``"samples"``; None elsewhere."""
        if self.kind != "agreement":
            return None
        return "latents" if "latents" in self.text.split(":") else "samples"

    @property
    def oracle(self) -> bool:
        """Whether the method is told the known answer: never a result, only a ceiling."""
        return self.kind == "pass" or "psrm" in self.text.split(":")

    @property
    def searches(self) -> bool:
        """Whether its attempts are a draft and refinements of it."""
        return self.kind not in (*_SAMPLED, "pass", "cot", "program")

    @property
    def place(self) -> tuple[bool, int, int, str]:
        """Where it stands in a table, as a key to sort by: oracles last."""
        place = METHODS.index(self.kind) if self.kind in METHODS else len(METHODS)
        return self.oracle, place, self.samples, self.text


def method_names(names: Sequence[str]) -> tuple[str, ...]:
    """The full names of methods, each once.

    Raises:
        ConfigError: One is unknown.

    Example:
        >>> method_names(["cot", "sc", "sc:3", "walk"])
        ('cot', 'sc:3', 'walk')
    """
    return tuple(dict.fromkeys(_full_name(name) for name in names))


def settings_of(name: MethodName, config: LatentSeekConfig) -> LatentSeekConfig:
    """The settings that a method of this name has in a run with those settings.

    In a run for agreement the searches that are named by their reward are what they are elsewhere: searches
    of latents that end when an attempt passes.

    Raises:
        ConfigError: The method cannot have the run's settings.

    Example:
        >>> run = LatentSeekConfig.agreement()
        >>> made = [settings_of(MethodName(name), run) for name in ("agreement", "steps")]
        >>> [(one.proposals, one.keep) for one in made]
        [('samples', 'vote'), ('latents', 'best')]
    """
    changes: dict[str, str] = {}
    if name.proposals is not None:
        changes = {"acceptance": "agreement", "keep": "vote", "proposals": name.proposals}
    elif name.kind == "vote":
        changes = {"keep": "vote", "proposals": "samples"}
    elif name.searches and config.acceptance == "agreement":
        changes = {"acceptance": "score_and_checks", "keep": "best", "proposals": "latents"}
    if name.kind == "walk":
        changes["direction"] = "random"
    return config.replace(**changes)


def require_temperature(temperature: float) -> None:
    """Refuse a temperature that samples cannot have.

    Raises:
        ConfigError: It is no number from 0 on.
    """
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"temperature={temperature} of the samples: it must be 0 or more")


def _full_name(name: str) -> str:
    kind, *arguments = name.split(":")
    if kind not in METHODS:
        raise ConfigError(f"--method {name!r} is unknown; the methods are {', '.join(METHODS)}")
    most = _MOST_ARGUMENTS.get(kind, 0)
    if len(arguments) > most:
        raise ConfigError(f"--method {name!r}: {kind} takes {most or 'no'} argument{'s' * (most != 1)}")
    parts = [kind]
    if kind in _SAMPLED:
        parts.append(str(_count(name, arguments.pop(0) if arguments else "")))
    if kind == "agreement":
        proposals = arguments.pop(0) if arguments and arguments[0] in _PROPOSALS else "samples"
        parts += [proposals] if proposals != "samples" else []
    for reward in arguments:
        if reward not in _REWARDS:
            raise ConfigError(
                f"--method {name!r}: {reward!r} is no reward; the rewards are {', '.join(_REWARDS)}"
            )
        parts += [reward] if reward != _DEFAULT_REWARD.get(kind) else []
    return ":".join(parts)


def _count(name: str, argument: str) -> int:
    if not argument:
        return _DEFAULT_SAMPLES
    if not argument.isdecimal() or int(argument) < 1:
        raise ConfigError(f"--method {name!r}: the number of samples must be 1 or more, not {argument!r}")
    return int(argument)
