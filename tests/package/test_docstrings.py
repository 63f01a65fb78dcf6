"""Every module of the package imports, and every example in its docstrings says what happens.

The modules are found by their files and imported by their full names (`latentseek_agents.tools.x`). pytest's
own `--doctest-modules` would go by the paths and see the linked folders twice, under other names.
"""

import doctest
import importlib
import os
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "latentseek_agents"


def module_names() -> list[str]:
    """The full name of every module, the folders behind the two links included."""
    names = set()
    for folder, _, files in os.walk(PACKAGE, followlinks=True):
        for file in files:
            path = Path(folder, file).relative_to(PACKAGE.parent)
            if path.suffix == ".py" and path.stem != "__main__":
                parts = path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts
                names.add(".".join(parts))
    return sorted(names)


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples(name: str):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_modules_behind_the_links_are_found():
    assert {"latentseek_agents", "latentseek_agents.graphs", "latentseek_agents.tools"} <= set(module_names())
