r"""The marks that models put around their calls, and how much of an unfinished reply can be none of them.

Example:
    >>> opener = next_opener("I add. <tool_call>{}", 0)
    >>> opener.lastgroup, opener.start()
    ('hermes', 7)
"""

import re

from latentseek_agents.chat._text_stream import overlap

# Kind, how it opens, how it closes. Where a mark stands around several calls that have marks of their own,
# both are one.
_MARKERS: tuple[tuple[str, str, str], ...] = (
    ("hermes", r"(?:<tool_calls>\s*)?<tool_call>", r"</tool_call>(?:\s*</tool_calls>)?"),
    ("longcat", r"<longcat_tool_call>", r"</longcat_tool_call>"),
    ("llama", r"<\|python_tag\|>", r""),
    ("llama4", r"<\|python_start\|>", r"<\|python_end\|>"),
    ("mistral", r"\[TOOL_CALLS\]", r""),
    ("function", r"<function=(?P<name>[\w.:-]+)>", r"</function>"),
    ("phi", r"<\|tool_call\|>", r"<\|/tool_call\|>"),
    ("functools", r"\bfunctools(?=\s*\[)", r""),
    ("gemma", r"<\|tool_call>(?=\s*call:)", r"<tool_call\|>"),
    ("function_gemma", r"<start_function_call>", r"<end_function_call>"),
    ("plural", r"<tool_calls>", r"</tool_calls>"),
    ("nemotron", r"<TOOLCALL>", r"</TOOLCALL>"),
    ("granite20", r"<function_call>", r"</function_call>"),
    (
        "invoke",
        r"<(?:｜DSML｜)?(?:function_calls|tool_calls)>(?=\s*<)|<minimax:tool_call>",
        r"</(?:｜DSML｜)?(?:function_calls|tool_calls)>|</minimax:tool_call>",
    ),
    ("function_calls", r"<function_calls>", r"</function_calls>"),
    ("seed", r"<seed:tool_call>", r"</seed:tool_call>"),
    (
        "deepseek",
        r"(?:<｜tool▁calls▁begin｜>\s*)?<｜tool▁call▁begin｜>",
        r"<｜tool▁call▁end｜>(?:\s*<｜tool▁calls▁end｜>)?",
    ),
    (
        "kimi",
        r"(?:<\|tool_calls_section_begin\|>\s*)?<\|tool_call_begin\|>",
        r"<\|tool_call_end\|>(?:\s*<\|tool_calls_section_end\|>)?",
    ),
    ("lfm", r"<\|tool_call_start\|>", r"<\|tool_call_end\|>"),
    ("internlm", r"<\|action_start\|>\s*(?:<\|plugin\|>)?", r"<\|action_end\|>"),
    ("cohere", r"<\|START_ACTION\|>", r"<\|END_ACTION\|>"),
    ("apertus", r"<\|tools_prefix\|>", r"<\|tools_suffix\|>"),
    ("tools", r"<tools>", r"</tools>"),
    ("code", r"```[ \t]*tool_(?:code|call)s?[ \t]*\n?", r"```"),
    ("fence", r"```[ \t]*\w*[ \t]*\n?", r"```"),
)
_OPENER = re.compile("|".join(f"(?P<{kind}>{opens})" for kind, opens, _ in _MARKERS))
_CLOSERS = {kind: re.compile(closes) for kind, _, closes in _MARKERS if closes}

WEAK = frozenset({"tools", "code", "fence"})
"""Kinds whose contents may be an answer, so that they are calls only if they name one of the tools."""

MENTIONED = frozenset(
    {"plural", "nemotron", "granite20", "invoke", "function_calls", "functools", "function_gemma"}
)
"""Kinds that are words of plain text, so that what cannot be read as a call is a mention of them."""

CALL_TOKENS = frozenset(
    [
        "<tool_call>",
        "</tool_call>",
        "<longcat_tool_call>",
        "</longcat_tool_call>",
        "<|python_tag|>",
        "<|python_start|>",
        "<|python_end|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<tools>",
        "</tools>",
        "<|tool_call|>",
        "<|/tool_call|>",
        "<|tool_call>",
        "<tool_call|>",
        '<|"|>',
        "<escape>",
        "<start_function_call>",
        "<end_function_call>",
        "<function_call>",
        "<tool_calls>",
        "</tool_calls>",
        "<TOOLCALL>",
        "</TOOLCALL>",
        "<｜DSML｜",
        "｜DSML｜",
        "<minimax:tool_call>",
        "</minimax:tool_call>",
        "<seed:tool_call>",
        "</seed:tool_call>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>",
        "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        "<|tool_call_start|>",
        "<|action_start|>",
        "<|plugin|>",
        "<|action_end|>",
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        "<|tools_prefix|>",
        "<|tools_suffix|>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<|channel|>",
        "<|constrain|>",
        "<|message|>",
        "<|call|>",
        "<|start|>",
    ]
)
"""Tokens that say that a call begins or ends, special or not: they must not be lost in decoding."""

HARMONY = "<|channel|>"
"""What every message of a reply begins with in the format of gpt-oss."""

_HARMONY_BEGIN = re.compile(r"(?:\bto=[^\s<]*\s*)?<\|channel\|>|<\|start\|>|\bto=[^\s<]*\s*\Z")

_FIRST_WORDS = (
    *[
        "<tool_call>",
        "<longcat_tool_call>",
        "<|python_tag|>",
        "<|python_start|>",
        "[TOOL_CALLS]",
        "<function=",
        "<|tool_call|>",
        "functools",
        "<|tool_call>",
    ],
    *[
        "<start_function_call>",
        "<tool_calls>",
        "<TOOLCALL>",
        "<function_call>",
        "<function_calls>",
        "<｜DSML｜function_calls>",
    ],
    *[
        "<｜DSML｜tool_calls>",
        "<minimax:tool_call>",
        "<seed:tool_call>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
    ],
    *[
        "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>",
        "<|tool_call_start|>",
        "<|action_start|>",
        "<|START_ACTION|>",
    ],
    *["<|tools_prefix|>", "<tools>", "```", "<|channel|>", "<|start|>"],
)
# What is an opener as soon as the right thing follows.
_UNFINISHED = re.compile(
    r"(?:<function=[\w.:-]*|functools\s*|<\|tool_call>[\scal:]*|<(?:｜DSML｜)?(?:function_calls|tool_calls)>\s*"
    r"|<｜tool▁calls▁begin｜>\s*|<\|tool_calls_section_begin\|>\s*)\Z"
)
UNMARKED = re.compile(
    r'[\[{][\[{\s]*"(?:name|function|type|id|tool|tool_name|tool_calls|action|role|index|arguments|parameters)"'
    r"\s*:"
    r"|(?:\A|(?<=\n))[ \t]*\[\s*[A-Za-z_][\w.]*\("
)
"""Where a call without a mark may begin: JSON with a usual key, or a list of calls on a new line."""

_UNFINISHED_UNMARKED = re.compile(r'[\[{][\[{\s]*(?:"[a-z_]{0,10}"?\s*)?\Z|(?:\A|(?<=\n))[ \t]*\[\s*[\w.]*\Z')
LONE_CALL = re.compile(r"\s*(?:[A-Za-z_][\w.]*\([^()]*\)\s*)+\Z")
"""A reply that is calls as in Python and nothing else."""

_UNFINISHED_LONE_CALL = re.compile(r"\s*(?:[A-Za-z_][\w.]*\([^()]*\)\s*)*(?:[A-Za-z_][\w.]*(?:\([^()]*)?)?\Z")


def next_opener(text: str, start: int) -> re.Match[str] | None:
    """The next mark that opens a call; its last group tells its kind.

    Args:
        text: The reply.
        start: Where to begin.
    """
    return _OPENER.search(text, start)


def kind_of(opener: re.Match[str]) -> str:
    """The kind of a mark.

    Args:
        opener: From :func:`next_opener`.
    """
    return "function" if opener["name"] else str(opener.lastgroup)


def closer_of(kind: str) -> re.Pattern[str] | None:
    """How calls of a kind are closed; None if by the end of the reply.

    Args:
        kind: From :func:`kind_of`.
    """
    return _CLOSERS.get(kind)


def certain_content(text: str) -> int:
    """How many first characters of an unfinished reply are content, whatever comes.

    Those can be shown at once. White space at the end is not among them: before a call it is dropped.

    Args:
        text: The reply so far.

    Example:
        >>> certain_content("I add them. <tool"), certain_content("1 < 2 tools")
        (11, 11)
    """
    start = after_thinking(text)
    if start is None:
        return len(text.rstrip())
    begins = text[start:]
    if begins.lstrip()[:1] in ("", "{", "[") or _UNFINISHED_LONE_CALL.match(begins):
        return len(text[:start].rstrip())
    end = len(text)
    position = start
    while opener := next_opener(text, position):
        if kind_of(opener) != "fence" or _holds(text[opener.end() :]) or opener.end() == len(text):
            end = opener.start()
            break
        position = opener.end()
    end = min(end, len(text) - max(overlap(text, word) for word in _FIRST_WORDS))
    for pattern in (_UNFINISHED, UNMARKED, _UNFINISHED_UNMARKED):
        if found := pattern.search(text, start, end):
            end = found.start()
    if begun := _HARMONY_BEGIN.search(text, start):
        end = min(end, begun.start())
    return len(text[:end].rstrip())


def after_thinking(text: str) -> int | None:
    """Where the reply itself begins; None while the model still thinks.

    Args:
        text: The reply so far.
    """
    closed = text.rfind("</think>")
    if closed >= 0:
        return closed + len("</think>")
    return None if text.lstrip().startswith("<think>") else 0


def _holds(after: str) -> bool:
    """Whether what follows a fence may be JSON or a marked call, so that the fence may hold calls."""
    inside = after.lstrip()
    if inside[:1] in ("", "{", "[") or any(word.startswith(inside) for word in _FIRST_WORDS):
        return True
    opener = _OPENER.match(inside)
    return opener is not None and kind_of(opener) not in WEAK
