"""Where a model's reply ends: at its end marker, or where it goes on to a question of its own making."""

import re

__all__ = ["without_sequel"]

_OPENING = re.compile(
    r"\s{0,40}(?:<s>\s{0,4})?(?:<\|im_start\|>\s?assistant|<\|start_header_id\|>\s?assistant\s?<\|end_header_id\|>"
    r"|<\|assistant\|>|<start_of_turn>model|<｜Assistant｜>)\s{0,40}",
    re.IGNORECASE,
)
_OTHER_OPENING = re.compile(
    r"\s{0,40}(?:<s>\s{0,4})?<(?:\|im_start|\|start_header|start_of_turn|\|user|\|system|｜User)"
)
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end_of_turn|end|return)\|>|</s>|<eos>|<end_of_turn>"
    r"|<｜end▁of▁sentence｜>"
)
_NEXT_TURN = re.compile(
    r"<\|(?:im_start|start_header_id|user)\|>|<start_of_turn>|<｜User｜>"
    r"|\n[ \t]{0,20}(?:#{1,6} {0,4}|\*\*)?(?:Question|User|Human|Q)(?:\*\*)?[ \t]?:"
    r"|\n[ \t]{0,20}### ?(?:Question|Instruction|Input)\b"
)
# What begins a text, and what begins a solution; the names of end markers do neither.
_TEXT = re.compile(_END.pattern + r"|(?P<begin>\w)")
_SOLUTION = re.compile(_END.pattern + r"|(?P<begin>\d|=|boxed)")


def without_sequel(text: str) -> str:
    r"""A reply up to the marker of its end, or up to the turn that the model invents for its user.

    Such a marker counts only if something stands before it: text before a marker, a step of a solution
    before an invented turn. So a reply that repeats its question first is kept.

    Args:
        text: A reply, without or with the template of a chat around it.

    Returns:
        Its first part; all of it if it neither ends nor goes astray.

    Example:
        >>> without_sequel("2 + 3 = 5\n#### 5\nQuestion: What is 4 + 4?\n#### 8")
        '2 + 3 = 5\n#### 5'
        >>> without_sequel("Question: What is 4 + 4?\n#### 8")
        'Question: What is 4 + 4?\n#### 8'
    """
    if opening := _OPENING.match(text):
        text = text[opening.end() :]
    elif _OTHER_OPENING.match(text):
        # A whole conversation: which of its turns is the reply is not to be guessed.
        return text
    for begins, marker in ((_TEXT, _END), (_SOLUTION, _NEXT_TURN)):
        # In one pass: there may be many markers before the text begins.
        begin = next((found for found in begins.finditer(text) if found["begin"]), None)
        cut = marker.search(text, begin.start()) if begin else None
        text = text[: cut.start()] if cut else text
    return text
