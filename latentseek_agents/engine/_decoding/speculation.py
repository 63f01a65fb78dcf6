"""Guess what a row will say next from an earlier completion, so that one forward pass can check many tokens.

Guesses never change what is written: a token is taken only if the policy picks it itself. A completion of the
search repeats that of the iteration before for the most part (prompt lookup, Saxena 2023, applied to it).
"""

from collections.abc import Sequence

# The earlier completion is searched for the last few tokens; a shorter match than this says too little.
_LONGEST_MATCH, _SHORTEST_MATCH = 4, 2
_FIRST_BLOCK, _SHORTEST_BLOCK, _LONGEST_BLOCK = 8, 2, 32


class Speculator:
    """Guesses for one row; deterministic.

    Args:
        guess_ids: A completion that is expected to be much like this one, such as the one of the iteration
            before.

    Example:
        >>> speculator = Speculator([5, 6, 7, 8, 9])
        >>> speculator.propose([5, 6, 7], 8)
        [8, 9]
        >>> speculator.propose([5, 1, 7, 8], 8)  # found again after a token that differs
        [9]
    """

    def __init__(self, guess_ids: Sequence[int]) -> None:
        self._earlier = list(guess_ids)
        self._ends: dict[tuple[int, ...], list[int]] = {}  # where each short run of tokens ends
        for end in range(_SHORTEST_MATCH, len(self._earlier)):
            self._ends.setdefault(tuple(self._earlier[end - _SHORTEST_MATCH : end]), []).append(end)
        self._expected = 0  # the place of the next token in it, as long as the two agree
        self._agreed = 0  # tokens of the completion that were compared with it
        self._lost = False  # the last token differs, and nothing like it is in it
        self._block = _FIRST_BLOCK

    def propose(self, completion: Sequence[int], limit: int) -> list[int]:
        """At most ``limit`` tokens that may follow.

        Args:
            completion: What is written so far.
            limit: Most tokens wanted.
        """
        if limit < 1:
            return []
        self._follow(completion)
        if self._lost:
            return []
        return self._earlier[self._expected : self._expected + min(limit, self._block)]

    def learn(self, proposed: int, accepted: int) -> None:
        """Adapt the length of the next guess to how the last one did.

        Args:
            proposed: Number of tokens guessed.
            accepted: How many of them were right.
        """
        if proposed and accepted == proposed:
            self._block = min(_LONGEST_BLOCK, max(self._block, 2 * proposed))
        elif proposed:
            self._block = max(_SHORTEST_BLOCK, min(self._block, accepted + 2))

    def _follow(self, completion: Sequence[int]) -> None:
        """Find the place that the next token is expected to have in the earlier completion."""
        new = completion[self._agreed :]
        self._agreed = len(completion)
        wrong = next(
            (i for i, token in enumerate(new, self._expected) if self._earlier[i : i + 1] != [token]), None
        )
        self._expected += len(new)
        if wrong is not None:
            # Not the place that has just led to a wrong guess: in a text that repeats itself it would again.
            place = self._find(completion, without=wrong)
            self._lost = place is None
            self._expected = self._expected if place is None else place
        elif new:
            self._lost = False

    def _find(self, completion: Sequence[int], without: int) -> int | None:
        """The place behind the longest match of the completion's end; of equals the nearest."""

        def rank(end: int) -> tuple[int, int]:
            length = _SHORTEST_MATCH
            while (
                length < min(_LONGEST_MATCH, end, len(completion))
                and self._earlier[end - length - 1] == completion[-length - 1]
            ):
                length += 1
            return length, -abs(end - self._expected)

        ends = self._ends.get(tuple(completion[-_SHORTEST_MATCH:]), ())
        return max((end for end in ends if end != without), key=rank, default=None)
