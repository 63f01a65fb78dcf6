"""What a LangGraph server serves in the tests of the page: models that write a script, and a random one.

``scripted`` writes a draft with a wrong sum, then right solutions, all of them about the number in the
question; ``slow`` does so with a pause before each token, a long one while there is a file ``hold`` in the
server's folder. ``endless`` comes to no end behind its draft. ``echo`` writes the question back. ``tiny`` is
a random model with latents that move, and ``broken`` cannot be loaded.
"""

import re
import time
from collections import Counter
from pathlib import Path
from threading import Lock

from latentseek_agents import Backbone
from latentseek_agents.errors import BackboneError
from latentseek_agents.graphs import app as served
from latentseek_agents.testing import scripted_backbone, tiny_backbone

MODELS = ("scripted", "slow", "endless", "echo", "tiny", "broken")
HOLD = Path("hold")

_PROGRAM = "```python\nboxes = {n}\nprint(boxes * 12)\n```\nThis prints {right}.\n"
_REPLIES = (
    "Each box holds 12 pens. {n} * 12 = {wrong}. The answer is {wrong}.",
    "There are 12 pens in each box, so that it must be {right}. The answer is {right}.",
    _PROGRAM + "{n} * 12 = {right}, so the answer is {right}.",
)


class Author:
    """Writes the next reply to a question each time that it is asked."""

    def __init__(self, *, endless: bool = False) -> None:
        self._endless = endless
        self._asked: Counter[str] = Counter()
        self._lock = Lock()

    def __call__(self, prompt: str) -> str:
        with self._lock:
            if self._endless and self._asked[prompt]:
                return "Let me think. " * 1000
            reply = _REPLIES[min(self._asked[prompt], len(_REPLIES) - 1)]
            self._asked[prompt] += 1
        found = re.search(r"(\d+) boxes", prompt)
        number = int(found[1]) if found else 1
        return reply.format(n=number, wrong=12 * number - 1, right=12 * number)


def _pause() -> None:
    time.sleep(0.5 if HOLD.exists() else 0.01)


def load(name: str, *, dtype: str | None) -> Backbone:
    """Stands in for the loading of models."""
    if name == "scripted":
        return scripted_backbone(Author())
    if name in ("slow", "endless"):
        return scripted_backbone(Author(endless=name == "endless"), delay=_pause)
    if name == "echo":
        return scripted_backbone(lambda prompt: "You ask: " + re.sub(r"<\|\w+\|>", "", prompt)[-4000:])
    if name == "tiny":
        return tiny_backbone(max_position_embeddings=8192)
    raise BackboneError(f"the weights of {name!r} cannot be read: <b>no</b> such file")


vars(served)["fastest_backbone"] = load
# Latents of so small a model move in few steps only if these are long.
served.server.config = served.server.config.replace(learning_rate=1.0)
refine = served.refine

from latentseek_agents.web.app import app  # noqa: E402

__all__ = ["app", "refine"]
