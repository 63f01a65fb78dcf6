"""What ARCHITECTURE.md promises of the structure: imports go one way, without circles, and rooms have doors.

Every import counts: those inside functions and those that only the type checker reads as well.
"""

import ast
import importlib
import os
from pathlib import Path

import pytest

from latentseek_agents.result import LatentSeekResult, Outcome

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "latentseek_agents"

LAYERS = [
    {"errors", "presets", "config", "verdict", "thoughts", "_tiny_configurations"},
    {"engine"},
    {"testing"},
    {"tools"},
    {"votes", "_correction", "_shown", "_view", "decisions", "_html", "result", "_search", "loop"},
    {"_inputs", "_tracing", "_background"},
    {"chat", "runnable"},
    {"graphs", "node"},
    {"web"},
    {"evaluation"},
    {"cli"},
]
"""Names directly below the package, the lowest first: a module imports from its own layer and lower ones."""

ROOMS = [
    "engine._decoding",
    "thoughts",
    "engine._vllm",
    "tools._answers",
    "tools._self_reward",
    "tools._steps",
    "tools._symbolic",
]
"""Packages that the rest of the product enters by their ``__init__`` alone."""


def modules() -> dict[str, Path]:
    """Every module by its full name, those behind the two links included."""
    names = {}
    for folder, _, files in os.walk(PACKAGE, followlinks=True):
        for file in files:
            path = Path(folder, file)
            relative = path.relative_to(PACKAGE.parent)
            if path.suffix == ".py":
                parts = relative.parent.parts if path.stem == "__init__" else relative.with_suffix("").parts
                names[".".join(parts)] = path
    return names


MODULES = modules()


def imports(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    imported = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                imported.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    return {target for target in imported if target in MODULES} - {name}


GRAPH = {name: imports(name) for name in MODULES}


def layer(name: str) -> int:
    parts = name.split(".")
    if len(parts) == 1:
        return len(LAYERS)  # the front door looks everything up
    return next(number for number, names in enumerate(LAYERS) if parts[1] in names)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name: str):
    upwards = {
        target for target in GRAPH[name] if target != "latentseek_agents" and layer(target) > layer(name)
    }
    assert not upwards


def test_there_is_no_circle():
    """Take away modules that import nothing that is left; a circle is what can never be taken away."""
    left = {name: set(targets) for name, targets in GRAPH.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def test_the_search_for_circles_sees_imports_in_functions_and_for_types(tmp_path: Path, monkeypatch):
    text = "if TYPE_CHECKING:\n    from pkg.b import x\ndef f():\n    import pkg.c\n"
    path = tmp_path / "a.py"
    path.write_text(text)
    monkeypatch.setitem(MODULES, "pkg.a", path)
    monkeypatch.setitem(MODULES, "pkg.b", path)
    monkeypatch.setitem(MODULES, "pkg.c", path)
    assert imports("pkg.a") == {"pkg.b", "pkg.c"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_one_door(room: str):
    inside = f"latentseek_agents.{room}"
    through_the_wall = {
        name: behind
        for name, targets in GRAPH.items()
        if name != inside
        and not name.startswith(f"{inside}.")
        and (behind := {target for target in targets if target.startswith(f"{inside}.")})
    }
    assert not through_the_wall


def test_tools_shows_what_users_import():
    assert len(list((ROOT / "tools").glob("*.py"))) <= 14


def test_the_loop_knows_no_framework():
    for name in ("loop", "_search", "decisions", "result"):
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        sources = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {source for source in sources if source.startswith(("langgraph", "langchain"))}


def test_a_result_has_the_fields_of_the_state():
    assert list(LatentSeekResult.__dataclass_fields__) == list(Outcome.__annotations__)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            "latentseek_agents",
            "Backbone LatentSeekConfig LatentSeek LatentSeekNode LatentSeekResult ChatLatentSeek Verdict "
            "Verifier Check Attempt Usage DecodingOptions StopReason",
        ),
        (
            "latentseek_agents.tools",
            "StepVerifier SelfReward GroundTruth Combined HumanVerifier check_steps extract_answer "
            "answers_match StepReport MATH_TOOLS ProgramVerifier ProcessReward run_program",
        ),
        (
            "latentseek_agents.tools.langchain_tools",
            "MATH_TOOLS calculate check_math_steps check_answer solve_equation",
        ),
        (
            "latentseek_agents.graphs",
            "create_refine_graph create_best_of_n_graph create_self_consistency_graph create_math_agent",
        ),
        (
            "latentseek_agents.testing",
            "ScriptedVerifier scripted_backbone tiny_backbone tiny_model tiny_tokenizer",
        ),
        ("latentseek_agents.runnable", "LatentSeek LatentSeekResult"),
        (
            "latentseek_agents.evaluation",
            "EvaluationPlan Listener Problem evaluate evaluate_with_ray load_problems read_outcomes "
            "write_report",
        ),
    ],
)
def test_names_that_programs_outside_import(module: str, names: str):
    loaded = importlib.import_module(module)
    for name in names.split():
        assert getattr(loaded, name) is not None
        assert name in loaded.__all__
