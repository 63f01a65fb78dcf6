"""What a run announces between its iterations: what is being done, and the text while it is written.

A run whose context says ``stream_text=True`` writes these dicts to ``stream_mode="custom"``, beside the
iterations that :func:`~latentseek_agents.graphs.create_refine_graph` describes::

    {"type": "latentseek_step", "step": "draft", "iteration": 0}
    {"type": "latentseek_text", "iteration": 0, "text": "First, 3 * 4", "tokens": 7}

A step is ``"draft"``, ``"prepare"`` (the verifier learns the question, with the default by letting the model
write a program for it), ``"judge"`` or ``"refine"``, and is announced as it begins. ``text`` is what was
written since the last such dict of this iteration, a few times a second, and ``tokens`` counts all of it.
Tokens that latents decide are not among it, so that the text of a refined attempt begins behind the last of
them. Where several solutions are written at once, their pieces would be mixed up: ``text`` is empty then.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from langgraph.runtime import Runtime

from latentseek_agents.chat._text_stream import Detokenizer, hidden_token_ids
from latentseek_agents.graphs.state import RefineContext
from latentseek_agents.loop import Search

__all__ = ["Step", "WrittenText", "announce_step", "announced"]

Step = Literal["draft", "prepare", "judge", "refine"]

_SECONDS_BETWEEN = 0.1


class WrittenText:
    """Announces the text of one iteration while it is written.

    Args:
        write: Takes the announcements.
        tokenizer: Of the model that writes.
        iteration: Its number.
        mixed: Several solutions are written at once, so that tokens are counted only.
        seconds_between: Least time between two announcements.

    Example:
        >>> from latentseek_agents.testing import tiny_tokenizer
        >>> said = []
        >>> text = WrittenText(said.append, tiny_tokenizer(), 0, seconds_between=0)
        >>> for token in tiny_tokenizer()("7 €")["input_ids"]:
        ...     text.take(token)
        >>> text.finish()
        >>> "".join(one["text"] for one in said), said[-1]["tokens"]
        ('7 €', 5)
    """

    def __init__(
        self,
        write: Callable[[Any], None],
        tokenizer: Any,
        iteration: int,
        *,
        mixed: bool = False,
        seconds_between: float = _SECONDS_BETWEEN,
    ) -> None:
        self._write = write
        self._detokenizer = None if mixed else Detokenizer(tokenizer, hidden_token_ids(tokenizer))
        self._iteration = iteration
        self._seconds_between = seconds_between
        self._text = ""
        self._tokens = self._announced = 0
        self._last = time.monotonic()

    def take(self, token: int) -> None:
        """Hear of one token."""
        self._tokens += 1
        if self._detokenizer is not None:
            self._text += self._detokenizer.add(token)
        if time.monotonic() - self._last >= self._seconds_between:
            self._announce()

    def finish(self) -> None:
        """Announce what is left."""
        if self._detokenizer is not None:
            self._text += self._detokenizer.finish()
        if self._text or self._tokens > self._announced:
            self._announce()

    def _announce(self) -> None:
        self._write(
            {
                "type": "latentseek_text",
                "iteration": self._iteration,
                "text": self._text,
                "tokens": self._tokens,
            }
        )
        self._text, self._announced, self._last = "", self._tokens, time.monotonic()


def announce_step(runtime: Runtime[Any], step: Step, iteration: int) -> None:
    """Say that a step begins, if the run wants to hear it."""
    if _wanted(runtime):
        runtime.stream_writer({"type": "latentseek_step", "step": step, "iteration": iteration})


@contextmanager
def announced(search: Search, runtime: Runtime[Any], step: Step, iteration: int) -> Iterator[Search]:
    """The search to write an iteration with, announced if the run wants to hear it.

    Args:
        search: The search, with the settings of the run.
        runtime: Of the run.
        step: What is done.
        iteration: The number of the attempt that is written.
    """
    if not _wanted(runtime):
        yield search
        return
    announce_step(runtime, step, iteration)
    text = WrittenText(
        runtime.stream_writer,
        search.backbone.tokenizer,
        iteration,
        mixed=iteration > 0 and search.config.num_samples > 1,
    )
    yield search.heard_by(text.take)
    text.finish()


def _wanted(runtime: Runtime[Any]) -> bool:
    return isinstance(runtime.context, RefineContext) and runtime.context.stream_text
