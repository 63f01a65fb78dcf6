"""A tiny random model whose every completion is read as a solution: answers vary, and some are right."""

import hashlib
from collections.abc import Sequence

from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import tiny_model, tiny_tokenizer

__all__ = ["ANSWERS", "AnsweringBackbone"]

ANSWERS = ("4", "5", "6")


class AnsweringBackbone(Backbone):
    """Decodes, samples and searches like any model; only the text of its tokens is made up.

    The text follows from the tokens: one of :data:`ANSWERS`, and before it an equation that yields it or does
    not. So step checks pass some solutions and refuse others, whether the answer is the known one or not.
    """

    def __init__(self) -> None:
        # How many guesses are made depends on what else is decoded, and with it the costs.
        plain = DecodingOptions(speculate=False)
        super().__init__(tiny_model(), tiny_tokenizer(), name="answering", decoding=plain)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """A solution that anyone can read off the tokens, were it not for the hash."""
        digest = hashlib.blake2b(repr(list(token_ids)).encode(), digest_size=2).digest()
        answer = int(ANSWERS[digest[0] % len(ANSWERS)])
        result = answer + digest[1] % 2
        return f"There are 3 at first. 3 + {answer - 3} = {result}. \\boxed{{{answer}}}"
