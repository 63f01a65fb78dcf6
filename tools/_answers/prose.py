"""Answers in words, in a form in which case, articles and punctuation do not count."""

import re

__all__ = ["folded", "is_prose"]

# "Yes, because ..." says yes.
_VERDICT = re.compile(r"(yes|no|true|false)[,.;] (?!.*\b(?:yes|no|true|false|but|maybe)\b)", re.IGNORECASE)
_LONGEST_PROSE = 400
_MATHEMATICAL = frozenset("0123456789\\=<>+*/^_|{}[]%¤!√")
_SYNONYMS = {
    **dict.fromkeys(
        (
            "no solution",
            "no solutions",
            "none",
            "empty set",
            "no real solution",
            "no real solutions",
            "no real roots",
            "no solution exists",
            "no solutions exist",
            "there is no solution",
            "there are no solutions",
            "null set",
        ),
        "no solution",
    ),
    **dict.fromkeys(
        ("undefined", "dne", "does not exist", "not defined", "limit does not exist"), "undefined"
    ),
    **dict.fromkeys(("all reals", "real numbers", "every real number"), "all real numbers"),
    **dict.fromkeys(("all integers", "set of integers", "set of all integers"), "integers"),
    **dict.fromkeys(("infinitely many", "infinite solutions"), "infinitely many solutions"),
    **dict.fromkeys(("mon", "monday"), "monday"),
    **dict.fromkeys(("tue", "tues", "tuesday"), "tuesday"),
    **dict.fromkeys(("wed", "wednesday"), "wednesday"),
    **dict.fromkeys(("thu", "thur", "thurs", "thursday"), "thursday"),
    **dict.fromkeys(("fri", "friday"), "friday"),
    **dict.fromkeys(("sat", "saturday"), "saturday"),
    **dict.fromkeys(("sun", "sunday"), "sunday"),
}


def folded(plain: str) -> str:
    """Words without case, articles and punctuation; anything else as it is, for it may be mathematics."""
    if not is_prose(plain):
        return re.sub(r"(?<!\d) | (?!\d)", "", plain)
    if verdict := _VERDICT.match(plain):
        return verdict[1].casefold()
    words = re.sub(r"[^\w\s]", " ", plain.casefold()).split()
    if len(words) == 2 and words[0] in ("option", "choice") and len(words[1]) == 1:
        return words[1]
    folded = " ".join([word for word in words if word not in ("the", "a", "an")] or words)
    return _SYNONYMS.get(folded, folded)


def is_prose(plain: str) -> bool:
    """Whether a text is words; one letter is a variable, unless it can name a choice."""
    if len(plain) > _LONGEST_PROSE or plain.startswith("-") or not _MATHEMATICAL.isdisjoint(plain):
        return False
    runs = re.findall(r"[^\W\d_]+", plain)
    if runs and "-" in plain:
        return min(map(len, runs)) > 2
    return max(map(len, runs), default=0) > 1 or (len(runs) == 1 and runs[0].casefold() in "abcde")
