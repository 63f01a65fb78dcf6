"""What the self-reward asks the model, and what the replies mean."""

from latentseek_agents.tools._self_reward.prompts import STATEMENTS, Mode, Quoter, review_prompts
from latentseek_agents.tools._self_reward.replies import Opinion, VerdictLine, shared_start, spoken_opinion

__all__ = [
    "STATEMENTS",
    "Mode",
    "Opinion",
    "Quoter",
    "VerdictLine",
    "review_prompts",
    "shared_start",
    "spoken_opinion",
]
