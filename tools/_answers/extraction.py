"""Find the final answers that a solution states, and where a reply ends."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from latentseek_agents.thoughts import answer_part

# The answer comes last, so a text that is too long loses its beginning.
_LONGEST_TEXT = 100_000
_TRIALS = 10
_MOST_STATED = 40
# A reply ends with its model's own markers, and they are no part of an answer.
_SPECIAL_TOKEN = re.compile(r"<[|｜][^<>]{1,40}[|｜]>|</?s>|<eos>|<pad>|<unk>|<(?:end|start)_of_turn>")
# Some escape the backslash as in JSON.
_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)[ \t]*\n?[ \t]*\{|\\.|[{}]", re.DOTALL)
_LONE_BACKSLASH = re.compile(r"(?<!\\)\\(?!\\)")
# Without braces, behind a blank or tight: "\\boxed 4", "\\boxed4", "\\boxed\\frac{1}{2}".
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)(?:[ \t]++(?![{$])|(?=[-+.(\[\\\d]))")
_BARE_PIECE = re.compile(r"\\(?P<command>[A-Za-z]+|.)(?:[ \t]+(?=\{))?|[^\\]", re.DOTALL)
_LONGEST_BARE = 200
_HASHES = re.compile(r"#{4}(?!#)([^\n#]*)")
_HEADING = re.compile(
    r"\s*\**\s*(?:step|case|part|solution|method|approach|problem|given|conclusion|explanation|note|verif|"
    r"understand|calculat|comput|find|determin|solv|check|final\s+answer|answer|result|therefore)\b",
    re.IGNORECASE,
)
_JSON_KEY = re.compile(r"""["'](?:final|correct)?[ _-]?answer["']\s{0,20}:\s{0,20}""", re.IGNORECASE)
# The string may be cut off.
_JSON_STRING = re.compile(r"""(["'])((?:\\.|(?!\1).)*)""", re.DOTALL)
_JSON_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[\"'/\\]|[ntr](?![A-Za-z]))")
_PHRASE = re.compile(
    r"\banswer(?:\s+(?:to\s+(?:the|this)\s+(?:question|problem)|here))?\s{1,10}(?:is|are|was|equals|would\s+be|must\s+be)"
    r"\b\s{0,10}(?:therefore|thus|simply|exactly|just)?\s{0,10}"
    r"(?:(?:(?:found|shown|determined|calculated|computed)\s+)?(?:to\s+be|as\s+follows)|(?:calculat|comput)ed\s+as)?"
    r"\s{0,10}:?\**\s{0,20}\}?\s{0,20}",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:\banswers?\b\**[ \t]{0,10}[:：]|^[ \t]{0,10}\**A\**:"
    r"|^#{1,6}[ \t*]{0,10}(?:final[ ]+)?answer\**[ \t]{0,10}\n)"
    r"\**\s{0,20}\}?",
    re.IGNORECASE | re.MULTILINE,
)
# Where the sentence that states an answer goes on to something else.
_SENTENCE_END = re.compile(
    r"\n|[.!?;](?=\s|\Z|\*\*|\"|<)|,?\s(?:because|since|as\s+we|which|so\s+that|after|where)\b|<\||</s>"
    r"|,\s+(?:so|therefore|thus|hence|meaning|altogether|in\s+(?:total|all)|and\s+(?:that|this|so|he|she|it|we|they))\b"
)
# What is computed there, and not what it is computed from.
_COMPUTED = re.compile(r"[$€£\d\s.,+*/×÷·()%−-]{1,200}=\s{0,20}([^=]{1,200})\Z")
# "The answer is within the given limits" says something of an answer, and not which one it is.
_REMARK = re.compile(
    r"(?:(?:indeed|also|now|then|clearly)\s+)?(?:correct|reasonable|consistent\s+with|within|obtained|found|shown"
    r"|calculated|computed|determined|derived|based\s+on)(?:[\s,]+[a-z'-]{2,})*\Z"
)
_DISPLAY = re.compile(r"(\\\[|\$\$)(.{0,4000}?)(?:\\\]|\$\$)", re.DOTALL)
# What may stand behind the marker of a block of code; any other word there belongs to the answer.
_PROGRAMS = (
    "json5?|jsonc|python3?|py|bash|sh|shell|console|javascript|js|typescript|ts|java|cpp|c\\+\\+|c#|csharp|go|rust|ruby"
    "|matlab|octave|sql|ya?ml|xml|html|css|haskell|julia|sage|mathematica|wolfram|lean4?|scala|swift|kotlin|php|perl"
    "|lua|diff|code|pseudocode|toml|csv"
)
_FENCE = re.compile(
    r"(?P<fence>`{3,}|~{3,})[ \t]{0,10}"
    rf"(?:\{{?\.?(?:(?P<program>{_PROGRAMS})|te?xt|plain(?:text)?|math|asciimath|(?:la)?tex|markdown|md|output|none)"
    r"\}?(?:[ \t/][^\n`~]{0,100})?)?[ \t\r]{0,10}(?:\n|\Z)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[$€£]?[-+]?[$€£]?\d[\d.,]{0,60}(?:/\d{1,60})?%?")
_PROGRAM_LINE = re.compile(
    r"(?:import|from|def|class|print\w{0,2}|return|for|while|if|let|const|var|function|using|echo|console)\b"
    r"|[#{/]{2}|[{\[]\s{0,20}[\"'}\]]|.{0,400}[:{(\[;]\Z"
)
_MARKDOWN = "*_`"
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


def extract_answer(text: str) -> str | None:
    r"""The final answer that a solution states, or None if it states none.

    The last of these in the text wins: a balanced ``\boxed{...}``, ``#### ...``, a JSON field
    ``"final answer"`` or ``"answer"`` (the JSON may be cut off or invalid). Only without any of them
    sentences count: "the answer is ...", then "Answer: ...". An equation alone states no final answer. Of a
    block of code that a sentence announces, only a single line counts: a number, or what is no program.
    A reply ends at the marker of its end, and before a next question that the model made up. What the model
    thought before it answered (``<think>``, ``[THINK]``, channels, see :mod:`latentseek_agents.thoughts`)
    states no answer, and a thought that is cut off leaves none.

    Args:
        text: A solution; any text at all.

    Returns:
        The answer as it is written, without its marker.

    Example:
        >>> extract_answer(r"So 2 + 2 = 4, and \boxed{\frac{1}{2}} remains.<|im_end|>")
        '\\frac{1}{2}'
        >>> extract_answer("48 / 2 = 24") is None
        True
    """
    text = _reply(text)
    lines = [line for line in _hash_lines(text) if line[1]]
    marked = [next(_boxes(text), None), max(lines, default=None), next(_json_fields(text), None)]
    if any(marked):
        return max(filter(None, marked))[1]
    bare = [answer for _, answer in _bare_boxes(text) if answer]
    if bare:
        return bare[-1]
    sentences = (answer for marker in (_PHRASE, _LABEL) for _, answer in _sentences(text, marker, _TRIALS))
    return next(sentences, None)


def stated_answers(text: str) -> list[str]:
    r"""Every final answer that a solution states, in the order of the text.

    What marks an answer is the same as for :func:`extract_answer`, but nothing goes before anything else.

    Args:
        text: A solution; any text at all.

    Returns:
        The answers as they are written, with repeats; of very many, the last ones of each kind.

    Example:
        >>> stated_answers(r"The answer is 5. \boxed{6} Final answer: **7**")
        ['5', '6', '7']
    """
    text = _reply(text)
    answers = [*islice(_boxes(text), _MOST_STATED), *list(_hash_lines(text))[-_MOST_STATED:]]
    answers += [*_json_fields(text), *list(_bare_boxes(text))[-_MOST_STATED:]]
    for marker in (_PHRASE, _LABEL):
        answers.extend(_sentences(text, marker, _MOST_STATED))
    return [answer for _, answer in sorted(answers) if answer]


def unmarked(answer: str) -> str:
    """An answer without the marker, the sentence or the reply around it; "" if it states none."""
    if len(answer) <= _LONGEST_TEXT and not re.search(r"boxed|fbox|####|answer|\bA:", answer, re.IGNORECASE):
        return _tidy(_without_special_tokens(without_sequel(answer)))
    return extract_answer(answer) or ("" if "boxed" in answer or "####" in answer else _tidy(answer))


def _without_special_tokens(text: str) -> str:
    text = text.rstrip()
    while (
        text.endswith(">") and (start := text.rfind("<", -50)) >= 0 and _SPECIAL_TOKEN.fullmatch(text, start)
    ):
        text = text[:start].rstrip()
    return text


def _reply(text: str) -> str:
    """The end of a reply, without what was thought and without what follows its last marker."""
    return _without_special_tokens(without_sequel(answer_part(text))[-_LONGEST_TEXT:])


def _bare_boxes(text: str) -> Iterator[tuple[int, str]]:
    """Positions and contents of the boxes without braces."""
    for match in _BARE_BOX.finditer(text):
        end = _end_of_bare(text, match.end())
        if any(character.isalnum() for character in text[match.end() : end]):
            yield match.end(), _tidy(text[match.end() : end].rstrip(","))


def _end_of_bare(text: str, position: int) -> int:
    """Where the content of a box without braces ends: at a blank or a delimiter of mathematics."""
    start, depth = position, 0
    while position < start + _LONGEST_BARE and (piece := _BARE_PIECE.match(text, position)):
        if piece[0] == "$" or (piece[0].isspace() and not depth) or (piece["command"] or "x") in "()[]\\,;:!":
            break
        depth += (piece[0] == "{") - (piece[0] == "}")
        if depth < 0:
            break
        position = piece.end()
    return position if depth <= 0 else start


def _boxes(text: str) -> Iterator[tuple[int, str]]:
    """Positions and contents of the balanced boxes from the last to the first, the empty ones left out."""
    opened: list[int] = []
    closed: list[tuple[int, int]] = []
    escaped: set[int] = set()
    for match in _BRACES.finditer(text):
        brace = match[0]
        if brace == "}" and opened:
            closed.append((opened.pop(), match.start()))
        elif brace.endswith("{") and brace != "\\{":
            # Braces that are no box are marked by a place before the text.
            opened.append(-1 if brace == "{" else match.end())
            escaped |= {match.end()} if brace.startswith(r"\\") else set()
    for start, end in sorted(closed, reverse=True):
        inside = text[start:end]
        if start in escaped and not _LONE_BACKSLASH.search(inside):
            inside = inside.replace(r"\\", "\\")
        if start >= 0 and (content := _tidy(inside)):
            yield start, content


def _hash_lines(text: str) -> Iterator[tuple[int, str]]:
    """Positions and contents of the ``####`` lines that are no headings."""
    for match in _HASHES.finditer(text):
        line = match.group(1)
        if not line.strip().endswith(":") and not _HEADING.match(line):
            yield match.start(1), _tidy(line)


def _json_fields(text: str) -> Iterator[tuple[int, str]]:
    """Positions and contents of JSON fields with an answer, the last first; the JSON may be broken."""
    # Fields without a value are passed over, but only a few: each costs a scan.
    for match in reversed(list(_JSON_KEY.finditer(text))[-_TRIALS:]):
        value = _json_value(text[match.end() : match.end() + 25_000])
        if value:
            # Past the value's own box, so that the field as a whole wins over it.
            yield match.end() + len(value), next((box for _, box in _boxes(value)), value)


def _json_value(text: str) -> str:
    if string := _JSON_STRING.match(text):
        return _tidy(_JSON_ESCAPE.sub(_unescaped, string[2]))
    depth = 0
    for position, character in enumerate(text):
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        if depth < 0 or (depth == 0 and character in ",\n"):
            return _tidy(text[:position])
    return _tidy(text)


def _unescaped(match: re.Match[str]) -> str:
    r"""One JSON escape; models also write \frac unescaped, so a letter keeps its backslash."""
    code = match.group(1)
    if code[0] == "u":
        character = chr(int(code[1:], 16))
        return character if unicodedata.category(character) != "Cs" else ""
    return " " if code in "ntr" else code


def _sentences(text: str, marker: re.Pattern[str], most: int) -> Iterator[tuple[int, str]]:
    """Positions and contents of the sentences that state an answer, from the last to the first."""
    for match in reversed(list(marker.finditer(text))[-most:]):
        rest = text[match.end() : match.end() + 4000]
        if display := _DISPLAY.match(rest):
            answer = _tidy(display.group(2))
        elif fence := _FENCE.match(rest):
            answer = _in_block(rest[fence.end() :], fence["fence"], program=fence["program"] is not None)
        else:
            end = _SENTENCE_END.search(rest)
            answer = _tidy(rest[: end.start()] if end else rest)
        if marker is _PHRASE and _REMARK.match(answer):
            continue
        if computed := _COMPUTED.match(answer):
            value = computed[1].strip()
            answer = value.rstrip("$") if value.count("$") % 2 and value.endswith("$") else value
        if any(character.isalnum() for character in answer) and "boxed" not in answer:
            yield match.end(), answer


def _in_block(text: str, fence: str, *, program: bool) -> str:
    """The answer in a block of code: its only line, if that is no program and not cut off."""
    content, closed, _ = text.partition(f"\n{fence}")
    if content.lstrip().startswith(fence):
        return ""
    line = content.strip()
    if "\n" in line or (not _NUMBER.fullmatch(line) and (program or not closed or _PROGRAM_LINE.match(line))):
        return ""
    return _tidy(line)


def _tidy(answer: str) -> str:
    """Without surrounding blanks, Markdown emphasis, and the full stop of the sentence."""
    answer = answer.replace("**", "").strip().strip(_MARKDOWN).strip()
    if answer.endswith(".") and not answer.endswith(".."):
        answer = answer[:-1].rstrip()
    return "" if answer in ("$", "$$", "{}", "\\(\\)") else answer


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
        begin = next((match for match in begins.finditer(text) if match["begin"]), None)
        cut = marker.search(text, begin.start()) if begin else None
        text = text[: cut.start()] if cut else text
    return text
