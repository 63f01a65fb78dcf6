"""Clock times and dates."""

import re
from dataclasses import dataclass

_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_MONTH = "(?P<month>" + "|".join(f"{name}|{name[:3]}\\.?" for name in _MONTHS) + r"|sept\.?)"
_DAY = r"(?P<day>\d{1,2})(?:\s?(?:st|nd|rd|th))?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_CLOCK = re.compile(
    r"(?:at )?(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?(?::(?P<second>[0-5]\d))?"
    r"\s?(?P<half>[ap]\.?\s?m\b\.?)?(?:\so'?clock)?(?P<rest>\sin the (?:morning|afternoon|evening))?"
)
_DATES = [
    re.compile(rf"(?:on )?(?:the )?{_MONTH}\s+(?:the )?{_DAY}{_YEAR}"),
    re.compile(rf"(?:on )?(?:the )?{_DAY}\s+(?:of )?{_MONTH}{_YEAR}"),
    re.compile(r"(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})"),
    re.compile(r"(?P<number>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
]
_NAMED = {"noon": 12 * 3600, "midday": 12 * 3600, "12 noon": 12 * 3600, "midnight": 0, "12 midnight": 0}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of day or a date.

    Args:
        second: Seconds since midnight, for a time of day.
        day: Month and day, for a date.
        year: The year of a date, if it is given.
        half_known: Whether a time of day says which half of the day it means.
    """

    second: int | None = None
    day: tuple[int, int] | None = None
    year: int | None = None
    half_known: bool = True


def moment_of(text: str) -> Moment | None:
    """The moment that a text names, or None.

    Example:
        >>> moment_of("3:30 PM") == moment_of("15:30")
        True
        >>> moment_of("5th of March").day
        (3, 5)
    """
    text = text.casefold().strip()
    if len(text) > 60:
        return None
    if text in _NAMED:
        return Moment(_NAMED[text])
    if match := _CLOCK.fullmatch(text):
        return _clock(match)
    for pattern in _DATES:
        if match := pattern.fullmatch(text):
            return _date(match.groupdict())
    return None


def same_moment(first: Moment, second: Moment) -> bool:
    """Whether two moments are the same; what only one of them says (the year, am or pm) is left aside."""
    if first.day != second.day or (first.year and second.year and first.year != second.year):
        return False
    if first.second is None or second.second is None:
        return first.second == second.second
    # Where one does not say which half of the day it means, half a day makes no difference.
    day = (12 if first.half_known != second.half_known else 24) * 3600
    return (first.second - second.second) % day == 0


def _clock(match: re.Match[str]) -> Moment | None:
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    half = (match["half"] or "")[:1]
    if match["rest"]:
        half = "a" if "morning" in match["rest"] else "p"
    oclock = "clock" in match.group()
    if not (half or oclock or match["minute"]) or hour > (12 if half else 24):
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    # 13:30 and 00:30 can only be meant on the clock of 24 hours.
    known = bool(half) or hour > 12 or match["hour"].startswith("0")
    return Moment(hour * 3600 + minute * 60 + second, half_known=known)


def _date(parts: dict[str, str | None]) -> Moment | None:
    month = int(parts.get("number") or 0)
    if name := parts.get("month"):
        month = next(index for index, full in enumerate(_MONTHS, 1) if full.startswith(name[:3]))
    day = int(parts["day"] or 0)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    year = parts.get("year")
    return Moment(day=(month, day), year=int(year) if year else None)
