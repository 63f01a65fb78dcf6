"""What a completion of a model that thinks is held to: a bounded thought, and what comes right behind it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from latentseek_agents.config import ANSWER_TOKENS, MARK_TOKENS
from latentseek_agents.engine._decoding import TokenConstraint
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.thoughts import Split

if TYPE_CHECKING:
    import torch

# Beyond its budget a completion may begin another thought: it is looked at now and then.
_STEP = 16
_BLANKS = 2
_TAIL = 40  # tokens in which the mark at an end is looked for


class AfterThought:
    """Lets a model think, for at most so many tokens, and holds what follows to something.

    With a budget a completion does not end within its thought, so that an answer comes.

    Args:
        backbone: The model.
        prompt_ids: Its prompt: some open the thought.
        forced_ids: First tokens of the completion that are given.
        budget: Most tokens of the completion before its thought is closed, in the model's own way: fewer
            where the context window would leave no room for an answer. None leaves the thought alone.
        then: What the answer begins with.
        inner: What the answer is held to.

    Attributes:
        closings: How many tokens stood before each mark that it put in to close a thought.
    """

    def __init__(
        self,
        backbone: Backbone,
        prompt_ids: Sequence[int],
        forced_ids: Sequence[int] = (),
        *,
        budget: int | None = None,
        then: Sequence[int] = (),
        inner: TokenConstraint | None = None,
    ) -> None:
        self.closings: list[int] = []
        self._backbone = backbone
        self._prompt_ids = prompt_ids
        self._ids: list[int] = []
        self._budget = self._fitting(budget)
        self._then = list(then)
        self._inner = inner
        self._held = bool(then) or inner is not None
        self._pending: list[int] = []
        # Behind its thought a model begins a new line, or two.
        blanks = (self._encoded(blank) for blank in ("\n", "\n\n", " "))
        self._blanks = frozenset(ids[0] for ids in blanks if len(ids) == 1)
        self._blanks_left = 0
        self._opening = self._encoded(backbone.thoughts.opening_of(""))
        opened = bool(backbone.opened_by(prompt_ids))
        self._state: Literal["beginning", "thinking", "answering"] = "thinking"
        if self._held and not opened:
            self._state = "beginning" if self._opening else "answering"
            if self._state == "answering":
                self._pending = self._then
        # Whether the thought is open now: looked for only where it matters.
        self._open = budget is not None and opened
        self._check_budget()
        for token_id in forced_ids:
            self.take(token_id)

    def _fitting(self, budget: int | None) -> int | None:
        """A budget behind which an answer fits into the context window."""
        room = self._backbone.context_window - len(self._prompt_ids) - ANSWER_TOKENS
        if budget is None or budget + MARK_TOKENS <= room:
            return budget
        closing = self._backbone.thoughts.closing_of(self._backbone.opened_by(self._prompt_ids))
        return min(budget, max(1, room - len(self._encoded(closing))))

    @property
    def required(self) -> tuple[int, ...]:
        """The tokens that must come next; none if the next one is free."""
        return tuple(self._pending)

    def allowed(self) -> "torch.Tensor":
        """(V,) bool: the tokens that may come next."""
        import torch

        size = self._backbone.decoder.vocabulary_size
        if self._pending:
            return _only(size, [self._pending[0]])
        if self._state == "answering" and self._inner is not None:
            allowed = self._inner.allowed()
            blanks = [token for token in self._blanks if token < len(allowed)]
            if blanks and self._blanks_left:
                allowed = allowed.clone()
                allowed[blanks] = True
            return allowed
        if self._state != "beginning":
            allowed = torch.ones(size, dtype=torch.bool)
            if self._open or (self._held and self._state == "thinking"):
                # What has to come comes behind the thought, so that the reply does not end in it.
                allowed[list(self._backbone.eos_token_ids)] = False
            return allowed
        allowed = _only(size, self._next_of_beginnings())
        if self._inner is not None and not self._then and not self._ids:
            inner = self._inner.allowed()[:size]
            allowed[: len(inner)] |= inner
        return allowed

    def released(self) -> "AfterThought":
        """This one, with answers of any form: a script is held to no schema."""
        self._inner = None
        return self

    def nearest(self, token_id: int) -> int:
        """A token if it may come next, else one that may: for a script, which knows no probabilities."""
        if self._open and not self._pending and token_id in self._backbone.eos_token_ids:
            self._close()
        if self._pending:
            return self._pending[0]
        if self._state != "beginning" or not self._then or token_id in self._next_of_beginnings():
            return token_id
        return self._next_of_beginnings()[-1]

    def _next_of_beginnings(self) -> list[int]:
        """What comes next in a thought's mark and in what the answer begins with, as far as both agree."""
        place = len(self._ids)
        return [
            tokens[place]
            for tokens in (self._opening, self._then)
            if tokens[:place] == self._ids and place < len(tokens)
        ]

    def take(self, token_id: int) -> None:
        """Record the next token of the completion."""
        self._ids.append(token_id)
        if self._budget is not None:
            self._follow()
        if self._pending and token_id == self._pending[0]:
            del self._pending[:1]
            return
        if self._pending:  # a token that was given, where a mark would have been put in
            self._pending = []
            del self.closings[-1:]
        if self._state == "beginning":
            self._begin(token_id)
        elif self._state == "answering" and self._inner is not None:
            if token_id in self._blanks and self._blanks_left:
                self._blanks_left -= 1
            else:
                self._blanks_left = 0
                self._inner.take(token_id)
        elif self._state == "thinking" and self._held and self._is_closed():
            self._answer()
        self._check_budget()

    def _begin(self, token_id: int) -> None:
        if self._ids == self._opening:
            self._state = "thinking"
        elif self._ids == self._then[: len(self._ids)] and self._ids != self._opening[: len(self._ids)]:
            self._state = "answering"
            self._pending = self._then[len(self._ids) :]
        elif self._ids != self._opening[: len(self._ids)]:
            self._state = "answering"
            if self._inner is not None:
                self._inner.take(token_id)

    def _answer(self) -> None:
        self._state = "answering"
        self._blanks_left = _BLANKS
        self._pending = [*self._pending, *self._then]

    def _is_closed(self) -> bool:
        """Whether the last token ended the thought."""
        tail = self._backbone.written(self._ids[-_TAIL:]).rstrip()
        return self._backbone.thoughts.is_closed_by(tail) and not self._split_is_open()

    def _follow(self) -> None:
        """See whether the last token has opened a thought, or closed it."""
        thoughts = self._backbone.thoughts
        tail = self._backbone.written(self._ids[-_TAIL:]).rstrip()
        if thoughts.is_closed_by(tail) if self._open else thoughts.ends_with_opening(tail):
            self._open = self._split_is_open()

    def _split_is_open(self) -> bool:
        return self._split().cut_off

    def _split(self) -> Split:
        return self._backbone.split(self._ids, self._prompt_ids, closed=self.closings)

    def _check_budget(self) -> None:
        over = -1 if self._budget is None else len(self._ids) - self._budget
        if over < 0 or over % _STEP or self._pending:
            return
        if self._split_is_open():
            self._close()

    def _close(self) -> None:
        """Let the mark that closes the thought come next."""
        self._pending = self._encoded(self._closing())
        self.closings.append(len(self._ids))
        if self._held and self._state == "thinking":
            self._answer()

    def _closing(self) -> str:
        """What closes the thought that is open."""
        thoughts = self._backbone.thoughts
        split = self._split()
        written = self._backbone.written(self._ids)
        marks = [written[part.start : part.end] for part in split.parts if part.kind == "mark"]
        opened = next((name for mark in reversed(marks) if (name := thoughts.opened_by(mark))), "")
        return thoughts.closing_of(opened or self._backbone.opened_by(self._prompt_ids))

    def _encoded(self, text: str) -> list[int]:
        return list(self._backbone.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def closings_of(
    backbone: Backbone, prompt_ids: Sequence[int], token_ids: Sequence[int], budget: int | None
) -> list[int]:
    """How many tokens of a completion stand before each mark that a budget has put in.

    Args:
        backbone: The model.
        prompt_ids: Its prompt.
        token_ids: The completion.
        budget: That of its thoughts; None if it had none.
    """
    if budget is None:
        return []
    return AfterThought(backbone, prompt_ids, token_ids, budget=budget).closings


def _only(size: int, token_ids: Sequence[int]) -> "torch.Tensor":
    import torch

    allowed = torch.zeros(size, dtype=torch.bool)
    allowed[list(token_ids)] = True
    return allowed
