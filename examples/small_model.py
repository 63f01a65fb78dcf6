"""What the other examples share: settings for a model as small as the embedded one.

It writes few equations unless it sees some, and without equations there is nothing to check; hence the
prompt with a worked example. Larger models do without: ``LatentSeekConfig()``.
"""

from typing import Any

from latentseek_agents import LatentSeekConfig

RULES = (
    "Solve the problem step by step. Write every calculation as an equation, such as 3 * 4 = 12. "
    "End with the sentence: The answer is [number]."
)


def prompt(question: str) -> list[tuple[str, str]]:
    """The rules, a worked example, the question."""
    return [
        ("system", RULES),
        ("user", "Ben has 2 bags with 9 nuts each and eats 4 nuts. How many nuts are left?"),
        ("assistant", "2 * 9 = 18 nuts in all. 18 - 4 = 14 nuts are left. The answer is 14."),
        ("user", question),
    ]


def settings(**changes: Any) -> LatentSeekConfig:
    """The first half of the draft is searched, and kept fluent; what cannot be judged is refined, too."""
    chosen: dict[str, Any] = {
        "prompt": prompt,
        "latents": "consistent",
        "fraction": 0.5,
        "max_iterations": 5,
        "max_new_tokens": 80,
        "refine_unjudged": True,
    }
    return LatentSeekConfig(**chosen | changes)
