"""Guess what a row will say next from what was said before, so that one forward pass can check many tokens.

Guesses never change what is written: a token is taken only if the policy picks it itself.
Prompt lookup (Saxena 2023) generalised to the completion of the iteration before, which the next one
repeats for the most part.
"""

from collections.abc import Sequence

__all__ = ["Speculator"]

# A completion is searched for the last few tokens; a shorter match than this says too little.
_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_FIRST_BLOCK, _FIRST_QUOTE, _LONGEST_BLOCK = 8, 2, 32
# Where nothing was ever right, a guess is tried only now and then.
_PATIENCE = 4


class Speculator:
    """Guesses for one row; deterministic.

    Args:
        draft_ids: A completion that is expected to be much like this one, such as the one of the iteration
            before.
        context_ids: Text that may be quoted: the prompt. Searched after ``draft_ids``.

    Example:
        >>> speculator = Speculator([5, 6, 7, 8, 9])
        >>> speculator.propose([5, 6, 7], 8)
        [8, 9]
        >>> speculator.propose([5, 1, 7, 8], 8)  # found again after a token that differs
        [9]
    """

    def __init__(self, draft_ids: Sequence[int] = (), context_ids: Sequence[int] = ()) -> None:
        self._draft = list(draft_ids)
        self._context = list(context_ids)
        self._places = _Places(self._draft)
        self._quotes = _Places(self._context)
        self._expected = 0  # in the draft: the place of the next token, as long as the two agree
        self._agreed = 0  # tokens of the completion that were compared with the draft
        self._lost = False  # the last token differs, and nothing like it is in the draft
        self._block = _FIRST_BLOCK
        self._quote_block = _FIRST_QUOTE
        self._useless = 0
        self._from_draft = False

    def propose(self, completion: Sequence[int], limit: int) -> list[int]:
        """At most ``limit`` tokens that may follow.

        Args:
            completion: What is written so far.
            limit: Most tokens wanted.
        """
        if limit < 1:
            return []
        place = self._follow(completion)
        self._from_draft = place is not None
        if place is not None:
            return self._draft[place : place + min(limit, self._block)]
        if self._useless >= _PATIENCE and len(completion) % (8 * _PATIENCE):
            return []
        place = self._quotes.find(completion, near=None)
        if place is None:
            return []
        return self._context[place : place + min(limit, self._quote_block)]

    def learn(self, proposed: int, accepted: int) -> None:
        """Adapt the length of the next guess to how the last one did.

        Args:
            proposed: Number of tokens guessed.
            accepted: How many of them were right.
        """
        if not proposed:
            return
        if self._from_draft:
            self._block = _next_block(self._block, proposed, accepted)
            return
        self._quote_block = _next_block(self._quote_block, proposed, accepted)
        self._useless = self._useless + 1 if accepted < 2 else 0

    def _follow(self, completion: Sequence[int]) -> int | None:
        """The place in the draft that the next token is expected to have."""
        if not self._draft:
            return None
        new = completion[self._agreed :]
        self._agreed = len(completion)
        wrong = next(
            (i for i, token in enumerate(new, self._expected) if self._draft[i : i + 1] != [token]), None
        )
        self._expected += len(new)
        if wrong is not None:
            # Not the place that has just led to a wrong guess: in a text that repeats itself it would again.
            found = self._places.find(completion, near=self._expected, without=wrong)
            self._lost = found is None
            self._expected = self._expected if found is None else found
        elif new:
            self._lost = False
        return self._expected if not self._lost and self._expected < len(self._draft) else None


class _Places:
    """Where short runs of tokens end in a text."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = token_ids
        self._after: dict[tuple[int, ...], list[int]] = {}
        for end in range(_SHORTEST_MATCH, len(token_ids)):
            self._after.setdefault(tuple(token_ids[end - _SHORTEST_MATCH : end]), []).append(end)

    def find(self, completion: Sequence[int], near: int | None, without: int | None = None) -> int | None:
        """The place behind the longest match of the completion's end; of equals that nearest to ``near``."""
        ends = [end for end in self._after.get(tuple(completion[-_SHORTEST_MATCH:]), ()) if end != without]
        if not ends:
            return None

        def rank(end: int) -> tuple[int, int]:
            length = _SHORTEST_MATCH
            while (
                length < _LONGEST_MATCH
                and length < min(end, len(completion))
                and self._token_ids[end - length - 1] == completion[-length - 1]
            ):
                length += 1
            return length, end if near is None else -abs(end - near)

        return max(ends, key=rank)


def _next_block(block: int, proposed: int, accepted: int) -> int:
    if accepted == proposed:
        return min(_LONGEST_BLOCK, max(block, 2 * proposed))
    return max(2, min(block, accepted + 2))
