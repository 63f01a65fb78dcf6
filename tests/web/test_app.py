"""The page's routes: what they serve, under which policy, and what they refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from latentseek_agents import LatentSeekConfig, web
from latentseek_agents.graphs import app as served
from latentseek_agents.graphs.app import Server, ServerContext
from latentseek_agents.graphs.refine import refine_graph
from latentseek_agents.testing import scripted_backbone, tiny_backbone
from latentseek_agents.web.app import create_app

STATIC = Path(web.__file__).parent / "static"
CONFIG = LatentSeekConfig.agreement(max_new_tokens=90, max_iterations=2)
EVIL = "</script><script>alert()</script>"


def client(
    server: Server | None = None, *, loopback_only: bool = False, host: str = "127.0.0.1"
) -> TestClient:
    app = create_app(server or Server(), loopback_only=loopback_only)
    return TestClient(app, base_url=f"http://{host}:2024", follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/watch", "text/html; charset=utf-8"),
        ("/watch/page.css", "text/css; charset=utf-8"),
        ("/watch/page.js", "text/javascript; charset=utf-8"),
        ("/watch/render.js", "text/javascript; charset=utf-8"),
        ("/watch/server.js", "text/javascript; charset=utf-8"),
        ("/watch/icon.svg", "image/svg+xml"),
    ],
)
def test_everything_of_the_page_is_served_under_a_strict_policy(path: str, kind: str):
    answer = client().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")


def test_every_file_of_the_page_is_served():
    served = [client().get(f"/watch/{path.name}").status_code for path in STATIC.iterdir()]
    assert sorted(served) == [200] * 5 + [404]  # page.html is /watch


@pytest.mark.parametrize(
    "name", ["page.html", "nothing", "..%2Fapp.py", "..%2F..%2Fconfig.py", "%2Fetc%2Fpasswd"]
)
def test_no_other_file_is_served(name: str):
    assert client().get(f"/watch/{name}").status_code == 404


def test_an_address_with_a_slash_behind_it_keeps_its_thread():
    answer = client().get("/watch/?thread=7")
    assert (answer.status_code, answer.headers["location"]) == (307, "../watch?thread=7")


def test_the_page_names_no_other_host_and_has_no_code_in_its_markup():
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|['\"(]//", text), path.name
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style| on[a-z]+=| style=|javascript:", page)


def test_no_text_can_become_markup_or_code():
    code = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    for way in (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "setHTML"),
        *("createContextualFragment", "eval(", "Function(", "srcdoc", "onclick", "onerror", "javascript:"),
    ):
        assert way not in code, way


def test_the_settings_name_models_and_budgets():
    server = Server(models=("a/b", "/home/anna/models/tiny"), verifier=("steps",), config=CONFIG)
    said = client(server).get("/watch/settings").json()
    assert said == {
        "models": [{"name": "a/b", "label": "a/b"}, {"name": "/home/anna/models/tiny", "label": "tiny"}],
        "verifier": ["steps"],
        "proposals": "samples",
        "max_iterations": 2,
        "max_new_tokens": 90,
        "max_seconds": None,
        "longest_question": 20_000,
    }


def finished(monkeypatch: pytest.MonkeyPatch, backbone: Any, **context: Any) -> tuple[Server, dict[str, Any]]:
    monkeypatch.setattr(served, "fastest_backbone", lambda name, *, dtype: backbone)
    server = Server(models=("one",), verifier=("steps",), config=CONFIG)
    graph: Any = refine_graph(server.search, ServerContext).compile()
    question = {"question": f"How many are 3 boxes of 12? {EVIL}"}
    *_, values = graph.stream(question, context=ServerContext(**context), stream_mode="values")
    return server, values


def test_the_values_of_a_thread_are_shown(monkeypatch: pytest.MonkeyPatch):
    replies = [f"3 * 12 = 35. The answer is 35. {EVIL}", "3 * 12 = 36. The answer is 36."]
    server, values = finished(monkeypatch, scripted_backbone(replies))
    answer = client(server).post("/watch/view", content=json.dumps(values))
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert (shown["question"], shown["answer"], shown["passed"]) == (values["question"], "36", True)
    assert [vote["answer"] for vote in shown["votes"]] == ["36", "35"]
    assert "".join(piece["text"] for piece in shown["attempts"][0]["pieces"]) == replies[0]
    assert shown["attempts"][1]["returned"]


def test_tokens_at_the_latents_are_shown_while_their_model_is_loaded(monkeypatch: pytest.MonkeyPatch):
    backbone = tiny_backbone(max_position_embeddings=8192)
    server, values = finished(monkeypatch, backbone, proposals="latents")
    body = json.dumps(values)
    shown = client(server).post("/watch/view", content=body).json()["attempts"][0]
    count = len(values["iterations"][0]["latent_token_ids"])
    assert count > 10
    assert (len(shown["latents"]), shown["latent_count"]) == (count, count)
    unloaded = client(Server(models=("one",))).post("/watch/view", content=body).json()["attempts"][0]
    assert (unloaded["latents"], unloaded["latent_count"]) == ([], count)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"question": "?", "iterations": 7}',
        '{"question": "?", "iterations": [{}]}',
        '{"question": "?", "iterations": [], "votes": [7]}',
        '{"question": NaN, "iterations": []}',
        '{"question": "?", "iterations": [], "usage": {"policy_tokens": "many"}}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_state_is_refused_in_words(body: Any):
    answer = client().post("/watch/view", content=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("these are no values of a search")


def test_a_state_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    answer = client().post("/watch/view", content=b" " * (16 * 2**20 + 1))
    assert (answer.status_code, answer.json()["message"]) == (413, "the values are larger than 16 MiB")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_for_this_machine_answers_its_own_pages(host: str):
    own = client(loopback_only=True, host=host)
    assert own.get("/watch").status_code == 200
    assert own.get("/watch", headers={"origin": f"http://{host}:2024"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "said"),
    [
        ("example.org", None, "the host 'example.org:2024' is not this machine"),
        ("192.168.1.7", None, "is not this machine"),
        ("127.0.0.1.example.org", None, "is not this machine"),
        ("127.0.0.1", "https://example.org", "pages of https://example.org may not use this server"),
        ("127.0.0.1", "http://127.0.0.1:3000", "may not use this server"),
        ("127.0.0.1", "null", "may not use this server"),
    ],
)
def test_a_server_for_this_machine_refuses_all_others(host: str, origin: str | None, said: str):
    headers = {} if origin is None else {"origin": origin}
    answer = client(loopback_only=True, host=host).get("/watch", headers=headers)
    assert answer.status_code == 403
    assert said in answer.text
    assert client(host=host).get("/watch", headers=headers).status_code == 200
