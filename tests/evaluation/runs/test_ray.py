"""What an evaluation over Ray asks of Ray, without a cluster: actors that run here, batch after batch."""

import sys
from types import ModuleType
from typing import Any

import pytest

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.ray_run import _share
from latentseek_agents.testing import tiny_backbone
from tests.evaluation.runs.test_run import CONFIG, PROBLEMS, without_time
from tests.support.evaluations import evaluate, evaluate_with_ray


class FakeRay:
    """A cluster in this process; what it was asked for is kept."""

    def __init__(self, patch: pytest.MonkeyPatch, *nodes: dict[str, float], dead: int = 0) -> None:
        self.asked: dict[str, Any] = {}
        self.begun = False
        ray: Any = ModuleType("ray")
        ray.is_initialized = lambda: self.begun
        ray.init = self._begin
        ray.nodes = lambda: [
            {"Alive": place >= dead, "Resources": resources} for place, resources in enumerate(nodes)
        ]
        ray.data = ModuleType("ray.data")
        ray.data.from_items = self._take
        patch.setitem(sys.modules, "ray", ray)
        patch.setitem(sys.modules, "ray.data", ray.data)

    def _begin(self, **_: Any) -> None:
        self.begun = True

    def _take(self, rows: list[dict[str, Any]]) -> "FakeRay":
        self.rows = rows
        return self

    def map_batches(
        self, worker: Any, *, fn_constructor_args: Any, batch_size: int, **asked: Any
    ) -> "FakeRay":
        self.asked, self.size = asked, batch_size
        self.actor = worker(*fn_constructor_args)
        return self

    def iter_rows(self) -> Any:
        for start in range(0, len(self.rows), self.size):
            batch = self.rows[start : start + self.size]
            made = self.actor({name: [row[name] for row in batch] for name in batch[0]})
            for values in zip(*made.values(), strict=True):
                yield dict(zip(made, values, strict=True))


def no_model() -> Backbone:
    raise AssertionError("a model was loaded")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1.0}, r"temperature=-1\.0 of the samples: it must be 0 or more"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"cores_per_actor": 0}, "cores_per_actor=0: an actor needs at least 1 core"),
        ({"actors": 0}, "actors=0"),
        ({"batch": 0}, "batch=0"),
        ({"prompts": ["xml"]}, "prompt='xml'"),
        ({"methods": ["magic"]}, "'magic' is unknown"),
    ],
)
def test_settings_are_refused_before_ray_starts(monkeypatch, tmp_path, given, message):
    ray = FakeRay(monkeypatch, {"CPU": 8.0})
    with pytest.raises(ConfigError, match=message):
        evaluate_with_ray(no_model, PROBLEMS, out=tmp_path / "run", **({"methods": ["cot"]} | given))
    assert not ray.begun
    assert not (tmp_path / "run").exists()


def test_actors_do_what_one_process_does(monkeypatch, tmp_path):
    ray = FakeRay(monkeypatch, *[{"CPU": 8.0}] * 4)
    methods = ["cot", "sc:2"]
    evaluate_with_ray(tiny_backbone, PROBLEMS, methods=methods, out=tmp_path / "ray", config=CONFIG, batch=4)
    evaluate(tiny_backbone(), PROBLEMS, methods=methods, out=tmp_path / "one", config=CONFIG)
    assert without_time(read_outcomes(tmp_path / "ray")) == without_time(read_outcomes(tmp_path / "one"))
    assert ray.asked == {"concurrency": 2, "zero_copy_batch": True, "num_cpus": 8}


def test_cores_can_be_said(monkeypatch, tmp_path):
    ray = FakeRay(monkeypatch, {"CPU": 8.0})
    evaluate_with_ray(
        tiny_backbone, PROBLEMS[:1], methods=["cot"], out=tmp_path, config=CONFIG, actors=3, cores_per_actor=1
    )
    assert (ray.asked["concurrency"], ray.asked["num_cpus"]) == (3, 1)


def test_machines_that_are_gone_do_not_count(monkeypatch, tmp_path):
    ray = FakeRay(monkeypatch, {"CPU": 64.0, "GPU": 8.0}, {"CPU": 6.0}, dead=1)
    evaluate_with_ray(tiny_backbone, PROBLEMS[:1], methods=["cot"], out=tmp_path, config=CONFIG)
    assert "num_gpus" not in ray.asked
    assert ray.asked["num_cpus"] == 2


@pytest.mark.parametrize(
    ("sizes", "actors", "cores"),
    [
        ([8], 2, 2),  # three shares of 8
        ([8, 8, 8, 8], 2, 8),  # a third of 32 would be 10, which no machine has
        ([8, 8, 8, 8], 4, 4),  # five shares of 8 are more than there are
        ([16, 2, 2, 2], 4, 3),  # a fifth of 22 would be 4: four on the large machine, and none left
        ([1], 4, 1),
        ([0, 0], 2, 1),  # a head alone, whose workers are yet to come
        ([], 2, 1),
    ],
)
def test_a_share_fits_into_one_machine_and_all_shares_into_the_cluster(sizes, actors, cores):
    nodes = [{"CPU": float(size), "memory": 1e9} for size in sizes]
    assert _share(nodes, actors, None) == {"num_cpus": cores}


def test_gpus_and_said_cores_go_together():
    nodes = [{"memory": 1e9}, {"CPU": 4.0, "GPU": 1.0}]
    assert _share(nodes, 1, None) == {"num_gpus": 1}
    assert _share(nodes, 1, 3) == {"num_cpus": 3, "num_gpus": 1}


def test_more_cores_than_a_machine_has_are_asked_for_with_a_warning(caplog):
    assert _share([{"CPU": 8.0}] * 4, 2, 10) == {"num_cpus": 10}
    assert "take 10 cores, but the largest machine of the cluster has 8" in caplog.text
    caplog.clear()
    assert _share([{"CPU": 8.0}] * 4, 2, 8) == {"num_cpus": 8}
    assert caplog.text == ""
