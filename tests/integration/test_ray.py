"""The evaluation over Ray: two actors, the same outcomes as one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.testing import tiny_backbone
from tests.evaluation.runs.test_run import CONFIG, METHODS, PROBLEMS, without_time
from tests.support.evaluations import evaluate, evaluate_with_ray

ROOT = Path(__file__).parents[2]

# Ray opens sockets, starts a dozen processes and warns of many things: all that in a process of its own.
CHILD = """
import sys
import ray
from latentseek_agents.testing import tiny_backbone
from tests.evaluation.runs.test_run import CONFIG, METHODS, PROBLEMS
from tests.support.evaluations import evaluate_with_ray

ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
seen = []
evaluate_with_ray(
    tiny_backbone, PROBLEMS, methods=METHODS, out=sys.argv[1], actors=2, config=CONFIG, batch=3,
    on_outcome=seen.append,
)
print(len(seen))
"""


def test_two_actors_and_one_process_agree(tmp_path):
    backbone = tiny_backbone()
    evaluate(backbone, PROBLEMS, methods=METHODS, out=tmp_path / "one", config=CONFIG)
    # What one process began, actors go on with.
    evaluate(backbone, PROBLEMS[:3], methods=METHODS, out=tmp_path / "ray", config=CONFIG)
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "ray")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(3 * len(METHODS))]
    assert without_time(read_outcomes(tmp_path / "ray")) == without_time(read_outcomes(tmp_path / "one"))


def test_without_ray_the_error_says_what_to_install(monkeypatch, tmp_path):
    from latentseek_agents.errors import ConfigError

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'ray\[data\]'"):
        evaluate_with_ray(tiny_backbone, PROBLEMS, methods=["cot"], out=tmp_path)
    with pytest.raises(ConfigError, match="actors=0"):
        evaluate_with_ray(tiny_backbone, PROBLEMS, methods=["cot"], out=tmp_path, actors=0)
