"""What a LangGraph server serves: settings, models loaded once, graphs without a checkpointer."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from langgraph.runtime import Runtime

from latentseek_agents import Backbone, ConfigError, InputError, LatentSeekConfig
from latentseek_agents.graphs import RefineContext, app
from latentseek_agents.graphs.app import Server, ServerContext
from latentseek_agents.graphs.math_agent import math_agent_graph
from latentseek_agents.graphs.refine import refine_graph
from latentseek_agents.testing import tiny_backbone

ROOT = Path(__file__).resolve().parents[2]
CONFIG = LatentSeekConfig(max_new_tokens=16, fraction=0.5, max_iterations=2)
QUESTION: Any = {"question": "How many legs have three cats?", "reference": "12"}


class Loader:
    """Stands in for the loading of models; knows what was loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.dtypes: list[str | None] = []

    def __call__(self, name: str | None, *, dtype: str | None) -> Backbone:
        name = name or "embedded"
        self.loaded.append(name)
        self.dtypes.append(dtype)
        return tiny_backbone(seed=len(name), max_position_embeddings=8192)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    made = Loader()
    monkeypatch.setattr(app, "fastest_backbone", made)
    return made


def test_langgraph_json_names_what_is_there() -> None:
    graphs = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"]
    assert set(graphs) == {"refine", "math_agent"}
    for name, entry in graphs.items():
        module, _, attribute = entry["path"].partition(":")
        served = getattr(import_module(module), attribute)
        assert served is getattr(app, name)
        assert served.checkpointer is None, "the server brings its own"


def test_the_import_loads_no_model_and_not_even_torch() -> None:
    code = "import json, sys, latentseek_agents.graphs.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "transformers"}


def test_the_environment_says_what_is_served() -> None:
    assert Server.from_environment({}).models == ("SmolLM2-135M-Instruct",)
    server = Server.from_environment(
        {
            "LATENTSEEK_MODEL": "some/model, other",
            "LATENTSEEK_VERIFIER": "truth",
            "LATENTSEEK_MAX_NEW_TOKENS": "64",
            "LATENTSEEK_MAX_ITERATIONS": "",
        }
    )
    assert (server.models, server.verifier) == (("some/model", "other"), ("truth",))
    assert server.config == LatentSeekConfig.agreement(max_new_tokens=64)


def test_the_embedded_model_is_shown_a_solved_question(loader: Loader) -> None:
    for environment, prompt in (({}, "example"), ({"LATENTSEEK_MODEL": "a/b"}, "boxed")):
        search = Server.from_environment(environment).search(Runtime(context=None))
        assert search.config == LatentSeekConfig.agreement(prompt=prompt)


def test_the_dtype_of_the_environment_reaches_the_loading(loader: Loader) -> None:
    for environment in ({}, {"LATENTSEEK_DTYPE": "float32"}, {"LATENTSEEK_DTYPE": ""}):
        Server.from_environment(environment).search(Runtime(context=None))
    assert loader.dtypes == [None, "float32", None]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LATENTSEEK_VERIFIER", "oracle", "LATENTSEEK_VERIFIER 'oracle'"),
        ("LATENTSEEK_DTYPE", "int4", "LATENTSEEK_DTYPE='int4' is unknown; use one of float32, "),
        ("LATENTSEEK_MAX_NEW_TOKENS", "many", "LATENTSEEK_MAX_NEW_TOKENS='many'"),
        ("LATENTSEEK_MAX_ITERATIONS", "-1", "max_iterations=-1"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Server.from_environment({variable: value})


def test_eight_first_runs_load_the_model_once(loader: Loader) -> None:
    server = Server(models=("a", "b"), verifier=("truth",), config=CONFIG)
    graph: Any = refine_graph(server.search, ServerContext).compile()
    together = Barrier(8)

    def run(_: int) -> Any:
        together.wait(60)
        return graph.invoke(QUESTION)["text"]

    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(run, range(8)))
    assert len(texts) == 1
    assert loader.loaded == ["a"]


def test_the_context_chooses_among_the_served_models(loader: Loader) -> None:
    server = Server(models=("a", "bb"), verifier=("truth",), config=CONFIG)
    graph: Any = refine_graph(server.search, ServerContext).compile()
    default = graph.invoke(QUESTION)
    other = graph.invoke(QUESTION, context={"model": "bb", "max_iterations": 1})
    assert loader.loaded == ["a", "bb"]
    assert other["text"] != default["text"]
    assert (len(default["iterations"]), len(other["iterations"])) == (3, 2)
    with pytest.raises(ConfigError, match=r"'ccc' is not served; choose one of a, bb"):
        graph.invoke(QUESTION, context={"model": "ccc"})
    assert loader.loaded == ["a", "bb"]


def test_the_agent_shares_the_model_and_the_context(loader: Loader) -> None:
    server = Server(verifier=("truth",), config=CONFIG)
    agent: Any = math_agent_graph(server.math_agent_nodes, ServerContext).compile()
    result = agent.invoke(QUESTION, context={"max_iterations": 15})
    # Its own solution, the draft of the search, and the refinements: more than a limit of 25 steps allows.
    assert len(result["iterations"]) == 1 + 1 + 15
    assert server.search(Runtime()) is server.search(Runtime(context=RefineContext()))
    assert loader.loaded == ["embedded"]


@pytest.mark.parametrize("served", ["refine", "math_agent"])
def test_what_a_client_sends_amiss_is_said(loader: Loader, served: str) -> None:
    server = Server(verifier=("truth",), config=CONFIG)
    builder: Any = (
        refine_graph(server.search, ServerContext)
        if served == "refine"
        else math_agent_graph(server.math_agent_nodes, ServerContext)
    )
    graph: Any = builder.compile()
    wrong: list[tuple[Any, str]] = [
        ({}, "no question"),
        ({"question": 7}, "must be a string"),
        ({"question": "?", "reference": ["12"]}, "reference must be a string or a number"),
    ]
    for given, message in wrong:
        with pytest.raises(InputError, match=message):
            graph.invoke(given)
    # JSON has numbers.
    assert "12" in graph.invoke({**QUESTION, "reference": 12})["reason"]
    with pytest.raises(ConfigError, match="max_iterations='three'"):
        graph.invoke(QUESTION, context={"max_iterations": "three"})
