"""Check what a wheel holds: every module of this tree in its place, nothing at the top but the package."""

import os
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]


def expected() -> set[str]:
    """The files of the package, the folders behind its two links included, as a wheel names them."""
    return {
        Path(folder, file).relative_to(ROOT).as_posix()
        for folder, _, files in os.walk(ROOT / "latentseek_agents", followlinks=True)
        for file in files
        if file.endswith(".py") or file == "py.typed" or Path(folder).name == "static"
    }


def main(wheel: str) -> int:
    """Print what is wrong with the wheel and return the exit code."""
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    inside = {name for name in held if name.startswith("latentseek_agents/")}
    tops = {name.partition("/")[0] for name in held}
    strangers = {
        top for top in tops if top != "latentseek_agents" and not top.startswith("latentseek_agents-")
    }
    wrong = [f"lacks {name}" for name in sorted(expected() - inside)]
    wrong += [f"holds {name}, which is no module of this tree" for name in sorted(inside - expected())]
    wrong += [f"installs a top-level {top!r}" for top in sorted(strangers)]
    for folder in ("graphs", "tools"):
        if f"latentseek_agents/{folder}/__init__.py" not in held:
            wrong.append(f"lacks the package latentseek_agents.{folder}")
    if not any(name.endswith("/licenses/LICENSE") for name in held):
        wrong.append("lacks the licence")
    for line in wrong:
        print(f"{Path(wheel).name} {line}", file=sys.stderr)
    if not wrong:
        print(f"{Path(wheel).name}: {len(inside)} files, each in its place")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
