r"""Two other ways to move latents, tried in the search as it is: a step bounded in KL, and a later beginning.

    python benchmarks/latent_steps.py --bound 8 --doubt 0.5 \
        eval --data gsm8k_dev.jsonl --method agreement:latents --out RUN
    python benchmarks/votes.py parts --data gsm8k_dev.jsonl --samples SAMPLES --search RUN

What follows the options is a command line of ``latentseek``, which runs with these changes:

``--bound B``: in place of Adam, whose steps are as long where the model is sure as where it is not, one step
up the gradient g, so long that the policy's distributions over all latents together move by B nats. To second
order KL(p || p') of a step a g is a² / 2 times the variance of the logits' change W g under p.

``--doubt P``: latents begin at the first token of the draft that had a probability below P; what stands
before stays. Without such a token they begin where they would have.

A run has one pair of these settings, which is written into its folder.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from latentseek_agents.cli import app
from latentseek_agents.engine import search
from latentseek_agents.engine.latents import Latents, advantages, policy_gradient


def main() -> int:
    """Change the search, then run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bound", type=float, help="nats by which one step moves the policy; default: Adam")
    parser.add_argument("--doubt", type=float, help="probability below which a token is one of doubt")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of latentseek")
    arguments = parser.parse_args()
    if arguments.bound is not None and not arguments.bound > 0:
        parser.error(f"--bound {arguments.bound}: it must be above 0")
    if arguments.doubt is not None and not 0 < arguments.doubt <= 1:
        parser.error(f"--doubt {arguments.doubt}: it must be in (0, 1]")
    if "--out" in arguments.command:
        note(Path(arguments.command[arguments.command.index("--out") + 1]), arguments)
    change(arguments.bound, arguments.doubt)
    sys.argv = ["latentseek", *arguments.command]
    return app() or 0


def note(folder: Path, arguments: argparse.Namespace) -> None:
    """Write the settings into the run's folder, or refuse one that has others."""
    settings = {"bound": arguments.bound, "doubt": arguments.doubt}
    target = folder / "latent_steps.json"
    if target.exists() and json.loads(target.read_text()) != settings:
        raise SystemExit(f"{folder} was run with {target.read_text()}; take another folder")
    folder.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(settings))


def change(bound: float | None, doubt: float | None) -> None:
    """Have the search take these ways, where they are given."""
    if bound is not None:
        vars(search)["_moved"] = lambda *given: moved(bound, *given)
    if doubt is not None:
        region = search._latent_region
        vars(search)["_draft_states"] = lambda config, limit: limit if config.proposals == "latents" else 0
        vars(search)["_latent_region"] = lambda *given: from_doubt(doubt, region(*given), *given)


def moved(bound: float, backbone: Any, config: Any, latents: Latents, samples: Any) -> Latents:
    """One step up the gradient that moves the policy by ``bound`` nats; see the head of this file."""
    rewards = [one.score if one.reward is None else one.reward for one in samples]
    token_ids = [one.latent_token_ids for one in samples]
    inputs = latents.policy_inputs(len(samples))
    with backbone.policy.lock:
        gradient = policy_gradient(backbone.logits, inputs, token_ids, advantages(rewards, config.baseline))
        rows = max(map(len, token_ids))
        gradient[rows:] = 0
        gradient[: latents.pinned] = 0
        divergence = sum(curvature(backbone.logits, one[:rows], gradient[:rows]) for one in inputs)
    divergence = divergence / len(samples)
    length = (bound / divergence) ** 0.5 if divergence > 0 else 0.0
    values = latents.values + length * gradient.to(latents.values)
    return replace(latents, values=values, step=latents.step + 1)


def curvature(head: Any, inputs: torch.Tensor, direction: torch.Tensor) -> float:
    """Half the variance of the logits' change along a direction, under the policy, over all latents.

    Args:
        head: Hidden states (..., d) to logits (..., V).
        inputs: (m, d).
        direction: (m, d).
    """
    # By a derivative: heads are not all linear, some cap their logits.
    derivative: Any = torch.autograd.functional.jvp
    total = 0.0
    with torch.inference_mode(mode=False), torch.enable_grad():
        for first in range(0, len(inputs), 32):
            z, along = inputs[first : first + 32].clone(), direction[first : first + 32].clone()
            logits, change = derivative(head, (z,), (along.to(z),))
            policy = torch.softmax(logits.float(), dim=-1)
            mean = (policy * change).sum(dim=-1, keepdim=True)
            total += float((policy * (change - mean).square()).sum()) / 2
    return total


def from_doubt(
    doubt: float, region: tuple[int, int], backbone: Any, _prompt: Any, _config: Any, completion: Any, *_: Any
) -> tuple[int, int]:
    """The region of a draft that may have latents, from its first token of doubt on."""
    begin, end = region
    rows = min(end, len(completion.hidden))
    if rows <= begin:
        return region
    with torch.no_grad(), backbone.policy.lock:
        logits = backbone.logits(completion.hidden[begin:rows]).float()
        chosen = torch.tensor(completion.token_ids[begin:rows], device=logits.device)[:, None]
        probabilities = torch.softmax(logits, dim=-1).gather(-1, chosen)[:, 0]
    doubtful = (probabilities < doubt).nonzero()
    return (begin + int(doubtful[0]), end) if len(doubtful) else region


if __name__ == "__main__":
    sys.exit(main())
