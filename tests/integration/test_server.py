"""The real server on loopback, as ``langgraph dev`` starts it, and real clients over HTTP."""

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.result import Outcome
from latentseek_agents.testing import tiny_model, tiny_tokenizer
from latentseek_agents.tools import GroundTruth
from tests.support.langgraph_server import langgraph_server

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = ["How many legs have three cats?", "And two spiders?"]
CONFIG = LatentSeekConfig.agreement(max_new_tokens=24, max_iterations=3)
STATE = set(Outcome.__annotations__)


@dataclass(frozen=True)
class Served:
    url: str
    model: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a tiny model; it and all its children are gone afterwards."""
    folder = tmp_path_factory.mktemp("server")
    model = folder / "model"
    tiny_model(max_position_embeddings=8192).save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    environment = {
        "LATENTSEEK_MODEL": str(model),
        "LATENTSEEK_DTYPE": "float32",
        "LATENTSEEK_VERIFIER": "truth",
        "LATENTSEEK_MAX_NEW_TOKENS": str(CONFIG.max_new_tokens),
        "LATENTSEEK_MAX_ITERATIONS": str(CONFIG.max_iterations),
    }
    # The server keeps its threads in the folder that it is started in.
    with langgraph_server(ROOT / "langgraph.json", folder, environment) as url:
        yield Served(url, model)


@pytest.fixture
def client(served: Served) -> Iterator[SyncLangGraphClient]:
    with get_sync_client(url=served.url, api_key=None) as made:
        yield made


def asked(question: str) -> dict[str, str]:
    return {"question": question, "reference": "12"}


def alone(served: Served, question: str) -> dict[str, Any]:
    """The same search in this process."""
    backbone = Backbone.from_pretrained(str(served.model), dtype="float32")
    graph: Any = create_refine_graph(backbone, verifier=GroundTruth(), config=CONFIG).compile()
    return {**graph.invoke(asked(question)), "usage": None}


def test_both_graphs_are_listed_with_their_schemas(client: SyncLangGraphClient) -> None:
    assistants = client.assistants.search()
    assert {entry["graph_id"] for entry in assistants} == {"refine", "math_agent"}
    for entry in assistants:
        schemas: Any = client.assistants.get_schemas(entry["assistant_id"])
        assert "question" in schemas["input_schema"]["properties"]
        assert {"model", "max_iterations", "seed"} <= set(schemas["context_schema"]["properties"])


def test_progress_is_streamed_and_the_thread_ends_without_latents(
    served: Served, client: SyncLangGraphClient
) -> None:
    thread = client.threads.create()["thread_id"]
    modes: Any = ["custom", "values", "updates"]
    parts = list(client.runs.stream(thread, "refine", input=asked(QUESTIONS[0]), stream_mode=modes))
    events: list[Any] = [part.data for part in parts if part.event == "custom"]
    assert [event["iteration"] for event in events] == [0, 1, 2, 3]
    assert [event["stop_reason"] for event in events] == [None, None, None, "iterations"]
    shown: list[Any] = [part.data for part in parts if part.event == "values"]
    shown += [update for part in parts if part.event == "updates" for update in part.data.values()]
    assert len(shown) > 8
    final: Any = client.threads.get_state(thread)["values"]
    for state in (*shown, final, client.threads.get(thread)["values"]):
        assert set(state) <= STATE | {"reference", "model", "prepared", "samples", "chosen"}
    assert {name: final[name] for name in STATE} | {"usage": None} == alone(served, QUESTIONS[0])


def test_two_clients_at_once_get_what_each_would_get_alone(served: Served) -> None:
    together = Barrier(len(QUESTIONS))

    def run(question: str) -> Any:
        with get_sync_client(url=served.url, api_key=None) as client:
            together.wait(60)
            return client.runs.wait(None, "refine", input=asked(question))

    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        results = list(pool.map(run, QUESTIONS))
    expected = [alone(served, question) for question in QUESTIONS]
    assert [{name: result[name] for name in STATE} | {"usage": None} for result in results] == expected
    assert expected[0]["text"] != expected[1]["text"]


def test_the_math_agent_runs_and_its_search_announces_itself(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    modes: Any = ["custom", "values"]
    parts = list(
        client.runs.stream(
            thread,
            "math_agent",
            input=asked(QUESTIONS[0]),
            context={"max_iterations": 2},
            stream_mode=modes,
        )
    )
    assert [part.data["iteration"] for part in parts if part.event == "custom"] == [0, 1, 2]
    final: Any = client.threads.get_state(thread)["values"]
    assert final["stop_reason"] == "iterations"
    assert len(final["iterations"]) == 4
    assert "latents" not in final


def test_a_model_that_is_not_served_is_an_error_that_says_so(client: SyncLangGraphClient) -> None:
    parts = list(
        client.runs.stream(None, "refine", input=asked(QUESTIONS[0]), context={"model": "some/other"})
    )
    assert [part.event for part in parts][-1] == "error"
    assert "'some/other' is not served" in parts[-1].data["message"]


def test_a_run_that_wants_it_hears_the_text_as_it_is_written(client: SyncLangGraphClient) -> None:
    thread = client.threads.create()["thread_id"]
    context: Any = {"stream_text": True, "proposals": "latents", "max_iterations": 1}
    parts = client.runs.stream(
        thread, "refine", input=asked(QUESTIONS[0]), context=context, stream_mode="custom"
    )
    events: list[Any] = [part.data for part in parts if part.event == "custom"]
    steps = [(event["step"], event["iteration"]) for event in events if event["type"] == "latentseek_step"]
    assert steps == [("draft", 0), ("prepare", 0), ("judge", 0), ("refine", 1), ("judge", 1)]
    iterations = [event for event in events if event["type"] == "latentseek_iteration"]
    written = "".join(
        event["text"] for event in events if event["type"] == "latentseek_text" and event["iteration"] == 0
    )
    assert written == iterations[0]["text"]
    assert iterations[1]["latents"]


def test_the_page_is_served_beside_the_api(served: Served) -> None:
    with urllib.request.urlopen(f"{served.url}/watch") as answer:  # noqa: S310
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert b"What is to be solved?" in answer.read()
