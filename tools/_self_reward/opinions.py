"""How a check of the self-reward comes to its opinion: from a reply, from two probabilities, or by rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentseek_agents.engine._decoding.decode import Completion
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.tools._self_reward.replies import FormatRule, excerpt, keeps_format
from latentseek_agents.tools._self_reward.verdicts import read_verdict

if TYPE_CHECKING:
    import torch

__all__ = ["Opinion", "VerdictLine", "format_opinion", "shared_start", "spoken_opinion"]

# The verdict line as models write it; upper case is what they are asked for.
_TRUE = ("VERDICT: TRUE", "VERDICT: True", "VERDICT: true")
_FALSE = ("VERDICT: FALSE", "VERDICT: False", "VERDICT: false")
# A model that gives the two words less than this together would have written something else.
_LEAST_MASS = 0.05


@dataclass(frozen=True, slots=True)
class Opinion:
    """How far one check holds, from 0 to 1; None if it cannot judge."""

    name: str
    truth: float | None
    reason: str

    @property
    def passed(self) -> bool | None:
        """Whether it rather holds than not; None if it cannot be judged."""
        return None if self.truth is None else self.truth >= 0.5


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """The verdict line up to the token that decides, and the tokens that decide it."""

    head: list[int]
    true: list[int]
    false: list[int]

    @classmethod
    def of(cls, backbone: Backbone) -> "VerdictLine":
        """The verdict line in the tokens of a model.

        Raises:
            ConfigError: TRUE and FALSE begin with the same token.
        """
        lines = [
            list(backbone.tokenizer(line, add_special_tokens=False)["input_ids"])
            for line in (*_TRUE, *_FALSE)
        ]
        shared = shared_start(lines)
        true, false = ({ids[shared] for ids in group} for group in (lines[: len(_TRUE)], lines[len(_TRUE) :]))
        if not (true - false and false - true):
            raise ConfigError(
                f"the tokenizer of {backbone.name} does not tell TRUE from FALSE by one token; "
                "use mode='generate'"
            )
        return cls(lines[0][:shared], sorted(true - false), sorted(false - true))

    def opinion(self, backbone: Backbone, name: str, completion: Completion) -> Opinion:
        """The opinion behind a completion that begins where this line's head ends."""
        true, false = self.probabilities(backbone, completion.hidden[0])
        reason = f"P(TRUE) = {true:.3f}, P(FALSE) = {false:.3f}"
        if not true + false >= _LEAST_MASS:  # so, and not with <, NaN is no vote either
            return Opinion(name, None, f"the model would say neither: {reason}")
        return Opinion(name, true / (true + false), reason)

    def probabilities(self, backbone: Backbone, hidden: "torch.Tensor") -> tuple[float, float]:
        """How probable TRUE and FALSE are, given the hidden state of the head's last token."""
        import torch

        with backbone.lock, torch.no_grad():
            said = torch.softmax(backbone.logits(hidden).float(), dim=-1)
        return float(said[self.true].sum()), float(said[self.false].sum())


def spoken_opinion(backbone: Backbone, name: str, completion: Completion, given: int) -> Opinion:
    """The opinion that a reply gives in words; its first ``given`` tokens belong to the prompt."""
    reply = backbone.decode(completion.token_ids[given:])
    said = read_verdict(reply)
    if said is not None:
        return Opinion(name, float(said), excerpt(reply))
    cause = {"length": "no clear verdict within the token limit", "seconds": "out of time"}.get(
        completion.finish_reason, "no clear verdict"
    )
    return Opinion(name, None, f"{cause}: {excerpt(reply)!r}")


def format_opinion(solution: str, rule: FormatRule) -> Opinion:
    """Whether a solution keeps its format, which takes no model."""
    wanted = f"the pattern {rule.pattern!r}" if not isinstance(rule, str) else f"the {rule} format"
    kept = keeps_format(solution, rule)
    return Opinion("format", float(kept), f"{wanted} is {'kept' if kept else 'not kept'}")


def shared_start(sequences: Sequence[Sequence[int]]) -> int:
    """How many first tokens all sequences have in common; each keeps at least one of its own."""
    count = 0
    for tokens in zip(*(sequence[:-1] for sequence in sequences), strict=False):
        if len(set(tokens)) > 1:
            break
        count += 1
    return count
