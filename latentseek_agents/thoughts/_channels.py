"""The channels of gpt-oss: every message of a reply says whether it is a thought, an answer or a call."""

import re
from collections.abc import Iterator
from typing import Literal

from latentseek_agents.thoughts._code import Code, CodeBehind
from latentseek_agents.thoughts._marks import NO_TOKENS, TokenMarks, is_quoted

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
# Without the second mark only a word tells that from a name of a program: "analysis(4)".
_BARE_WORD = re.compile(r"\s*analysis(?=[A-Z])")
_BARE_FINAL = re.compile(r"assistant\s?(?:final)(?=\W*[A-Z\d\\$*{\[])|assistantfinal")
_BEHIND_END = re.compile(r"(?:<\|(?:end|return|call)\|>|\A)\s*\Z")
_CHANNEL = "<|channel|>"
_WINDOW = 64


def channel_spans(
    text: str, *, opened: bool, known: bool = False, tokens: TokenMarks = NO_TOKENS
) -> tuple[list[Span], int] | None:
    """The parts of a reply in channels, and how many characters are certain; None if it is none.

    A header counts where a message ends: behind the mark that ends one, or where a new turn is opened. In
    code, and anywhere else in an answer, it is text. A message to a tool is text as it stands, with its
    header: those who look for calls read it.

    Args:
        text: A reply, decoded with its special tokens or without.
        opened: Whether the prompt ends within a thought.
        known: Whether the model is one that writes so; otherwise the text must begin with a header.
        tokens: What the tokens of the text say of its marks.

    Example:
        >>> channel_spans("<|channel|>analysis<|message|>Hm.<|end|>", opened=False)
        ([('mark', 0, 30), ('thinking', 30, 33), ('mark', 33, 40)], 40)
    """
    start = len(text) - len(text.lstrip())
    begins = _HEADER.match(text, start) or _BEGUN.match(text, start)
    if known and not begins:
        begins = _HEADER.search(text) or _BEGUN.search(text)
    if opened or begins or (known and not _BARE.match(text)):
        messages = _Messages(text, tokens, opened=opened)
        return [span for span in messages.spans() if span[1] < span[2]], messages.certain
    return _bare(text)


class _Messages:
    """The messages of a reply.

    Args:
        text: A reply.
        tokens: What its tokens say of its marks.
        opened: Whether it begins within a thought.
    """

    def __init__(self, text: str, tokens: TokenMarks, *, opened: bool) -> None:
        self.certain = len(text)
        self._text = text
        self._tokens = tokens
        self._kind: Kind = "thinking" if opened else "text"
        self._code = Code(text)
        self._headers = [header for header in _HEADER.finditer(text) if not self._is_spelled(header)]
        # The last one that certainly begins a message.
        self._last = max((header.start() for header in self._headers if self._is_sure(header)), default=-1)

    def spans(self) -> Iterator[Span]:
        """Kind, start and end of every part."""
        position = 0
        code = self._code.behind(0)
        to_tool = False
        for header in self._headers:
            if not self._counts(header, position, code):
                continue
            yield from self._body(position, header.start(), code, whole=to_tool)
            code = self._code.behind(header.end())
            to_tool = " to=" in f" {header['role'] or ''} {header['to'] or ''} {header['channel']}"
            if to_tool:
                self._kind, position = "text", header.start()
                continue
            self._kind = "thinking" if header["channel"].split()[:1] == ["analysis"] else "text"
            position = header.end()
            yield "mark", header.start(), header.end()
        yield from self._body(position, len(self._text), code, whole=to_tool)

    def _is_spelled(self, header: re.Match[str]) -> bool:
        """Whether other tokens than a header's own spell it."""
        return self._tokens.is_text(_CHANNEL, self._text.index(_CHANNEL, header.start()))

    def _is_sure(self, header: re.Match[str]) -> bool:
        """Whether the tokens or the end of a message before it say that a header is one."""
        place = self._text.index(_CHANNEL, header.start())
        before = self._text[max(0, header.start() - _WINDOW) : header.start()]
        return place in self._tokens.places or _BEHIND_END.search(before) is not None

    def _counts(self, header: re.Match[str], position: int, code: CodeBehind) -> bool:
        start = header.start()
        if self._is_sure(header) or not self._text[position:start].strip():
            return True
        before, after = self._text[max(0, start - _WINDOW) : start], self._text[header.end() :][:_WINDOW]
        doubtful = code.is_begun(start) or is_quoted(before.rpartition("\n")[2], after)
        if self._kind == "text":
            return not doubtful and header["role"] is not None
        if doubtful and self._last > start:
            return False
        if doubtful:
            self.certain = min(self.certain, start)
        return True

    def _body(self, start: int, end: int, code: CodeBehind, *, whole: bool) -> Iterator[Span]:
        """A message without the marks at its end, or the whole of it."""
        text, kind = self._text, self._kind
        if whole:
            yield kind, start, end
            return
        begun = _BEGUN.search(text, start, end) if end == len(text) else None
        if begun and kind == "text" and not self._may_begin(begun, start, code):
            begun = None
        stop = begun.start() if begun else end
        closed = self._end_of_message(start, stop, is_last=end == len(text))
        if closed:
            yield kind, start, closed.start()
            yield "mark", closed.start(), closed.end()
            yield "text", closed.end(), stop
        else:
            yield kind, start, stop
        yield "mark", stop, end

    def _may_begin(self, begun: re.Match[str], start: int, code: CodeBehind) -> bool:
        """Whether what may become a header stands where one can stand in an answer."""
        before = self._text[start : begun.start()]
        if not before.strip() or _BEHIND_END.search(before[-_WINDOW:]):
            return True
        return begun.group().startswith("<|start|>") and not code.is_begun(begun.start())

    def _end_of_message(self, start: int, stop: int, *, is_last: bool) -> re.Match[str] | None:
        """The mark that ends a message; in code, only if nothing follows it."""
        code = self._code.behind(start)
        for closed in _CLOSED.finditer(self._text, start, stop):
            if self._tokens.is_text(closed.group(), closed.start()):
                continue
            if closed.start() in self._tokens.places or not code.is_begun(closed.start()):
                return closed
            if is_last:
                self.certain = min(self.certain, closed.start())
            if not self._text[closed.end() : stop].strip():
                return closed
        return None


def _bare(text: str) -> tuple[list[Span], int] | None:
    begin = _BARE.match(text)
    if begin is None:
        return None
    final = _BARE_FINAL.search(text, begin.end())
    if final is None and not _BARE_WORD.match(text):
        return [("text", 0, len(text))], 0
    spans: list[Span] = [("mark", 0, begin.end())]
    if final is None:
        return [*spans, ("thinking", begin.end(), len(text))], len(text)
    spans += [
        ("thinking", begin.end(), final.start()),
        ("mark", final.start(), final.end()),
        ("text", final.end(), len(text)),
    ]
    return spans, len(text)
