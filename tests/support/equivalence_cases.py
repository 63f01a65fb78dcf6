"""What the tests of answer comparison share."""

import pytest


def cases(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    """The pairs of all classes, each named by its class."""
    return [pytest.param(a, b, id=f"{name}: {a} ~ {b}") for name, pairs in table.items() for a, b in pairs]
