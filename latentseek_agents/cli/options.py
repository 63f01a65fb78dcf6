"""Groups of command-line options: dataclasses whose fields are options of a command."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses: Typer sees each of their fields as an option of its own.

    Args:
        command: A function with parameters whose types are dataclasses. Their fields are annotated as Typer
            wants options to be.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     width: int = 2
        ...     height: int = 3
        >>> def area(size: Size, times: int = 1) -> None:
        ...     print(size.width * size.height * times)
        >>> list(inspect.signature(option_groups(area)).parameters)
        ['width', 'height', 'times']
        >>> option_groups(area)(width=4, height=5, times=2)
        40
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }
    options: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        group = groups.get(name)
        options += inspect.signature(group).parameters.values() if group else [parameter]

    @wraps(command)
    def flat(**values: Any) -> None:
        grouped = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **grouped)

    parameters = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    flat.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return flat
