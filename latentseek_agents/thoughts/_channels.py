"""The channels of gpt-oss: every message of a reply says whether it is a thought, an answer or a call."""

import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal["thinking", "text", "mark"]
Span = tuple[Kind, int, int]

_HEADER = re.compile(
    r"(?:<\|start\|>(?P<role>[^<]{0,200})|(?P<to>\bto=[^\s<]{1,100}\s{0,9}))?<\|channel\|>(?P<channel>[^<]{0,200})"
    r"(?:<\|constrain\|>[^<]{0,100})?<\|message\|>"
)
_CLOSED = re.compile(r"<\|(?:end|return)\|>")
# A header that the end of the text has cut off.
_BEGUN = re.compile(r"<\|(?:start|channel)\|>[^<]{0,200}(?:<[a-z|]*>?[^<]{0,100})?(?:<[a-z|]*)?\Z")
# Decoded without its special tokens: "analysisWe add.assistantfinalIt is 4."
_BARE = re.compile(r"\s*(?P<mark>analysis)(?=[A-Z\d\"'(\\$*])")
_BARE_FINAL = re.compile(r"assistant\s?(?:final)(?=\W*[A-Z\d\\$*{\[])|assistantfinal")


def channel_spans(text: str, *, opened: bool, known: bool = False) -> list[Span] | None:
    """The parts of a reply in channels; None if it is none.

    A message to a tool is text as it stands, with its header: those who look for calls read it.

    Args:
        text: A reply, decoded with its special tokens or without.
        opened: Whether the prompt ends within a thought.
        known: Whether the model is one that writes so; otherwise the text must begin with a header.

    Example:
        >>> channel_spans("<|channel|>analysis<|message|>Hm.<|end|>", opened=False)
        [('mark', 0, 30), ('thinking', 30, 33), ('mark', 33, 40)]
    """
    begins = known or text.lstrip().startswith(("<|channel|>", "<|start|>"))
    if opened or (begins and (_HEADER.search(text) or _BEGUN.search(text))):
        return [span for span in _messages(text, opened=opened) if span[1] < span[2]]
    return _bare(text)


def _messages(text: str, *, opened: bool) -> Iterator[Span]:
    kind: Kind = "thinking" if opened else "text"
    position = 0
    to_tool = False
    for header in _HEADER.finditer(text):
        yield from _body(text, kind, position, header.start(), whole=to_tool)
        to_tool = " to=" in f" {header['role'] or ''} {header['to'] or ''} {header['channel']}"
        if to_tool:
            kind, position = "text", header.start()
            continue
        kind = "thinking" if header["channel"].split()[:1] == ["analysis"] else "text"
        position = header.end()
        yield "mark", header.start(), header.end()
    yield from _body(text, kind, position, len(text), whole=to_tool)


def _body(text: str, kind: Kind, start: int, end: int, *, whole: bool) -> Iterator[Span]:
    """A message without the marks at its end, or the whole of it."""
    if whole:
        yield kind, start, end
        return
    begun = _BEGUN.search(text, start, end) if end == len(text) else None
    stop = begun.start() if begun else end
    closed = _CLOSED.search(text, start, stop)
    if closed:
        yield kind, start, closed.start()
        yield "mark", closed.start(), closed.end()
        yield "text", closed.end(), stop
    else:
        yield kind, start, stop
    yield "mark", stop, end


def _bare(text: str) -> list[Span] | None:
    begin = _BARE.match(text)
    if begin is None:
        return None
    final = _BARE_FINAL.search(text, begin.end())
    spans: list[Span] = [("mark", 0, begin.end())]
    if final is None:
        return [*spans, ("thinking", begin.end(), len(text))]
    return [
        *spans,
        ("thinking", begin.end(), final.start()),
        ("mark", final.start(), final.end()),
        ("text", final.end(), len(text)),
    ]
