"""``run.json``: what is run in a folder, and whether that is the same run as another.

Settings are compared one by one, and not through the fingerprint that stands for them: a folder that an
earlier version began states fewer of them, and stays usable. Its lines go on bearing the fingerprint it has.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from latentseek_agents.errors import InputError

__all__ = ["claim_run", "dotted_settings", "read_settings", "require_settings"]

_SCHEMA = 1
_SHOWN = 4
# The fingerprint stands for the settings, and is none. A model may lie in another place the next time: the
# hash of its weights decides, and its name is only shown.
_NOT_COMPARED = ("run", "model")


def claim_run(folder: str | Path, settings: Mapping[str, Any]) -> str:
    """Say what is run in a folder; of processes that begin at the same time, one is the first.

    Args:
        folder: It exists.
        settings: As plain values.

    Returns:
        The run's fingerprint, which its lines bear: that of the one who was first.

    Raises:
        InputError: The folder is another run's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = claim_run(folder, {"model": "a", "model_hash": "x"})
        ...     moved = claim_run(folder, {"model": "b", "model_hash": "x", "of later versions": 1})
        ...     first == moved
        True
    """
    wanted = json.loads(json.dumps({"schema": _SCHEMA, **settings}))
    target = Path(folder, "run.json")
    with FileLock(Path(folder, ".run.json.lock")):
        if not target.exists():
            temporary = target.with_suffix(".partial")
            text = json.dumps({"run": _fingerprint(wanted), **wanted}, indent=2, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
            os.replace(temporary, target)
    found = read_settings(folder)
    _refuse_another_run(folder, found, wanted, whole=True)
    return str(found["run"])


def require_settings(path: str | Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose run differs in these settings; one that holds no run yet is welcome.

    Raises:
        InputError: It holds another run.
    """
    if (Path(path) / "run.json").exists():
        _refuse_another_run(path, read_settings(path), json.loads(json.dumps(wanted)), whole=False)


def read_settings(path: str | Path) -> dict[str, Any]:
    """What a run's folder says of it, its fingerprint under ``"run"``.

    Raises:
        InputError: The folder holds no run.
    """
    target = Path(path) / "run.json"
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError:
        below = sorted(str(other.parent) for other in Path(path).glob("*/run.json"))
        hint = f"; the folders below it that hold one: {', '.join(below)}" if below else ""
        raise InputError(f"{path} holds no run: there is no run.json in it{hint}") from None
    except ValueError as error:
        raise InputError(f"{target} is not the run.json of an evaluation: {error}") from None
    readable = isinstance(found, dict) and found.get("schema") == _SCHEMA
    if not readable or not isinstance(found.get("run"), str):
        raise InputError(f"{target} is not the run.json of an evaluation that this version can read")
    return dict(found)


def dotted_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings within settings by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _fingerprint(settings: Mapping[str, Any]) -> str:
    compared = {name: value for name, value in settings.items() if name not in _NOT_COMPARED}
    text = json.dumps(compared, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _refuse_another_run(
    path: str | Path, found: Mapping[str, Any], wanted: Mapping[str, Any], *, whole: bool
) -> None:
    """Raise if settings differ.

    What only ``wanted`` states is new, and unknown of the run that was found. What only ``found`` states is
    of a later version, whose results may be others; ``whole`` says that ``wanted`` is all of the settings.
    """
    there, here = dict(dotted_settings(found)), dict(dotted_settings(wanted))
    differences = [
        f"{name}: {there[name]!r} there, {value!r} here"
        for name, value in here.items()
        if name not in _NOT_COMPARED and name in there and there[name] != value
    ]
    if whole:
        differences += [
            f"{name}: {value!r} there, unknown here"
            for name, value in there.items()
            if name not in _NOT_COMPARED and name not in here
        ]
    if differences:
        shown = [*differences[:_SHOWN], "..."] if len(differences) > _SHOWN else differences
        raise InputError(
            f"{path} holds another run ({', '.join(shown)}); "
            "name another folder, or repeat that run's settings to go on with it"
        )
