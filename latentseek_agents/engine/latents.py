"""The latents z, their policy gradient, and Adam's step; to bytes and back.

With M samples x¹ … xᴹ of the tokens at the latents and their rewards R¹ … Rᴹ, the gradient is

    g_t = 1/M Σᵢ (Rⁱ - bⁱ) ∇_z log π(xⁱ_t | z_t)        (the paper's: M = 1, b = 0)

an unbiased estimate of ∇_z E[R] when the samples are drawn from π(· | z) at the same temperature and bⁱ does
not depend on xⁱ. ``baseline="mean"`` takes bⁱ as the mean reward of the other samples. At temperature 0 the
one sample is the argmax, as in the paper. Gradients pass through the language-model head and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from safetensors.torch import load, save

from latentseek_agents.errors import InputError, NonFiniteError

__all__ = ["Latents", "advantages", "policy_gradient"]

# The authors' release adds these to the probabilities before the logarithm, the second in its indexing line.
_RELEASE_EPSILONS = (1e-8, 1e-10)

Head = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Latents:
    """The variables of one search with Adam's memory of them, all float32 on the CPU.

    Args:
        values: (m, d): the latents z themselves (independent), or the offsets δ (consistent).
        hidden: (M, m, d): the hidden states h that the current samples' tokens produce, so that
            z = h + δ. Empty (0, m, d) for independent latents.
        step: Updates made so far.
        exp_avg: (m, d), Adam's mean of the gradient.
        exp_avg_sq: (m, d), Adam's mean of its square.
        pinned: How many of the first latents stay as they are: those of a corrected value.
    """

    values: torch.Tensor
    hidden: torch.Tensor
    step: int
    exp_avg: torch.Tensor
    exp_avg_sq: torch.Tensor
    pinned: int = 0

    @classmethod
    def start(cls, hidden: torch.Tensor, kind: Literal["independent", "consistent"]) -> Self:
        """Latents of a draft.

        Args:
            hidden: (m, d), the hidden states that predicted the draft's tokens at the latents' positions.
            kind: ``LatentSeekConfig.latents``.
        """
        with torch.inference_mode(mode=False):
            states = hidden.detach().to("cpu", torch.float32, copy=True)
            zeros = torch.zeros_like(states)
            if kind == "consistent":
                return cls(zeros, states[None], 0, zeros.clone(), zeros.clone())
            return cls(states, states.new_empty((0, *states.shape)), 0, zeros, zeros.clone())

    @property
    def consistent(self) -> bool:
        """Whether :attr:`values` are offsets to hidden states."""
        return bool(self.hidden.shape[0])

    def policy_inputs(self, samples: int) -> torch.Tensor:
        """(samples, m, d): the z that each sample's tokens were, or are to be, chosen from."""
        if not self.consistent:
            return self.values.expand(samples, -1, -1)
        return self.hidden[:samples].expand(samples, -1, -1) + self.values

    def stepped(
        self,
        gradient: torch.Tensor,
        *,
        learning_rate: float,
        gradient_clip: float | None = None,
        rows: int | None = None,
        random_directions: torch.Generator | None = None,
    ) -> Self:
        """One step of Adam *up* the gradient of the expected reward.

        Args:
            gradient: (m, d), ∇_z J.
            learning_rate: η.
            gradient_clip: Largest norm of the whole gradient.
            rows: Only the first so many latents move (those that have a token); None moves all.
            random_directions: Each latent moves as far as it would have, in a direction drawn from this.

        Raises:
            NonFiniteError: The gradient or the new latents are NaN or infinite.
        """
        number = self.step + 1
        _require_finite(gradient, "the gradient", number)
        with torch.inference_mode(mode=False), torch.enable_grad():
            parameter = torch.nn.Parameter(self.values.clone())
            parameter.grad = -gradient.to(parameter)  # Adam descends
            if gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_([parameter], gradient_clip)
            optimizer = torch.optim.Adam([parameter], lr=learning_rate)
            if self.step:
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": self.exp_avg.clone(),
                    "exp_avg_sq": self.exp_avg_sq.clone(),
                }
            optimizer.step()
            memory = optimizer.state[parameter]
            values = parameter.detach()
            if random_directions is not None:
                lengths = (values - self.values).norm(dim=-1, keepdim=True)
                directions = torch.randn(values.shape, generator=random_directions)
                values = self.values + lengths * directions / directions.norm(dim=-1, keepdim=True)
        if rows is not None:
            values[rows:] = self.values[rows:]
        values[: self.pinned] = self.values[: self.pinned]
        _require_finite(values, "a latent", number)
        return replace(
            self,
            values=values,
            step=number,
            exp_avg=memory["exp_avg"],
            exp_avg_sq=memory["exp_avg_sq"],
        )

    def pulled(
        self, head: Head, token_ids: Sequence[int], *, learning_rate: float, most_steps: int
    ) -> tuple[Self, int, bool]:
        """The same with the first latents moved until tokens are the most probable ones, and pinned there.

        Each step is one of Adam up the gradient of the tokens' log-probability: the policy gradient of a
        reward of 1. A latent whose token leads already stays as it is.

        Args:
            head: Hidden states (..., d) to logits (..., V), differentiable.
            token_ids: At most m tokens, for the first latents.
            learning_rate: η.
            most_steps: Bound of the steps.

        Returns:
            The latents, the steps made, and whether all tokens lead. Adam begins anew with what follows.

        Raises:
            NonFiniteError: A gradient or latent is NaN or infinite.
        """
        count = len(token_ids)
        wanted = torch.tensor(list(token_ids))
        part = replace(
            self,
            values=self.values[:count],
            hidden=self.hidden[:, :count],
            step=0,
        )
        while True:
            inputs = part.policy_inputs(1)
            with torch.no_grad():
                leads = head(inputs[0]).argmax(dim=-1).cpu() == wanted
            if leads.all() or part.step >= most_steps:
                break
            gradient = policy_gradient(head, inputs, [token_ids], [1.0], step=part.step + 1)
            moved = part.stepped(gradient, learning_rate=learning_rate)
            part = replace(moved, values=torch.where(leads[:, None], part.values, moved.values))
        values = torch.cat([part.values, self.values[count:]])
        return replace(self, values=values, pinned=count), part.step, bool(leads.all())

    def with_hidden(self, hidden: torch.Tensor) -> Self:
        """The same offsets for other samples, whose hidden states are (M, m, d)."""
        return replace(self, hidden=hidden)

    def to_bytes(self) -> bytes:
        """Everything as one safetensors value; :meth:`from_bytes` restores it bit for bit."""
        return save(
            {
                "values": self.values.contiguous(),
                "hidden": self.hidden.contiguous(),
                "step": torch.tensor(self.step, dtype=torch.int64),
                "exp_avg": self.exp_avg.contiguous(),
                "exp_avg_sq": self.exp_avg_sq.contiguous(),
                "pinned": torch.tensor(self.pinned, dtype=torch.int64),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of :meth:`to_bytes`.

        Raises:
            InputError: These bytes are none that :meth:`to_bytes` makes.
        """
        try:
            with torch.inference_mode(mode=False):
                saved = load(data)
                found = cls(
                    saved["values"],
                    saved["hidden"],
                    int(saved["step"]),
                    saved["exp_avg"],
                    saved["exp_avg_sq"],
                    int(saved.get("pinned", 0)),  # states of earlier versions have none
                )
        except Exception as error:  # the reader of tensors has errors of many kinds
            raise _damaged(data, f"{type(error).__name__}: {error}") from error
        shapes = [tuple(one.shape) for one in (found.values, found.exp_avg, found.exp_avg_sq)]
        fits = len(shapes[0]) == 2 and len(set(shapes)) == 1 and found.hidden.dim() == 3
        if not fits or tuple(found.hidden.shape[1:]) != shapes[0] or found.step < 0:
            raise _damaged(data, f"their shapes are {shapes} and {tuple(found.hidden.shape)}")
        tensors = (found.values, found.hidden, found.exp_avg, found.exp_avg_sq)
        if any(one.dtype != torch.float32 for one in tensors):
            raise _damaged(data, "they are no float32 numbers")
        return found


def _damaged(data: object, why: str) -> InputError:
    size = f"{len(data)} bytes" if isinstance(data, bytes) else f"a {type(data).__name__}"
    return InputError(
        f"the latents in this state are damaged, or no latents ({size}; {why}); "
        "go on from an earlier checkpoint, or ask the question anew"
    )


def advantages(rewards: Sequence[float], baseline: Literal["none", "mean"]) -> list[float]:
    """Rⁱ - bⁱ for each sample.

    Args:
        rewards: Scores in [-1, 0].
        baseline: ``"none"``: b = 0. ``"mean"``: b is the mean of the other samples' rewards.

    Example:
        >>> advantages([-1.0, 0.0, -0.5], "mean")
        [-0.75, 0.75, 0.0]
    """
    if baseline == "none" or len(rewards) < 2:
        return list(rewards)
    total = sum(rewards)
    return [reward - (total - reward) / (len(rewards) - 1) for reward in rewards]


def policy_gradient(
    head: Head,
    inputs: torch.Tensor,
    token_ids: Sequence[Sequence[int]],
    weights: Sequence[float],
    *,
    temperature: float = 0.0,
    release_loss: bool = False,
    step: int = 1,
) -> torch.Tensor:
    """∇_z J: the mean over samples of weight times ∇ log π(x_t | z_t).

    Args:
        head: Hidden states (..., d) to logits (..., V), differentiable.
        inputs: (M, m, d), the latents of each sample.
        token_ids: M lists of at most m tokens: x_t. Rows behind a shorter list get no gradient.
        weights: M numbers, R - b.
        temperature: Of the policy the samples were drawn from; 0 stands for the argmax and differentiates
            π at temperature 1.
        release_loss: Use log(softmax + 1e-8), as the authors' release does, in place of log softmax.
        step: The number of the update, for error messages.

    Returns:
        (m, d) in the dtype of ``inputs``.

    Raises:
        NonFiniteError: The log-probability is NaN or infinite.

    Source: arXiv 2505.13308, the policy gradient of Algorithm 1.
    """
    samples = len(token_ids)
    total = torch.zeros_like(inputs[0])
    for z, tokens, weight in zip(inputs, token_ids, weights, strict=True):
        rows = len(tokens)
        if rows == 0:
            continue
        with torch.inference_mode(mode=False), torch.enable_grad():
            variable = z[:rows].clone().requires_grad_()
            logits = head(variable)
            index = torch.tensor(list(tokens), device=logits.device)[:, None]
            log_probability = _log_probability(logits, index, temperature, release_loss=release_loss).sum()
            _require_finite(log_probability, "the log-probability of the tokens", step)
            (gradient,) = torch.autograd.grad(weight * log_probability, variable)
        total[:rows] += gradient.to(total) / samples
    return total


def _log_probability(
    logits: torch.Tensor, index: torch.Tensor, temperature: float, *, release_loss: bool
) -> torch.Tensor:
    # Half-precision logits are widened; anything wider keeps its precision (the gradient tests use float64).
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    if release_loss:
        inside, outside = _RELEASE_EPSILONS
        probability = torch.softmax(logits, dim=-1) + inside
        return torch.log(probability.gather(-1, index) + outside)
    return torch.log_softmax(logits / (temperature or 1.0), dim=-1).gather(-1, index)


def _require_finite(value: torch.Tensor, what: str, step: int) -> None:
    if not torch.isfinite(value).all():
        raise NonFiniteError(
            f"{what} is NaN or infinite at step {step}; lower learning_rate, set gradient_clip, "
            "or load the model in float32"
        )
