"""The engine can be imported with an older transformers that is allowed: it lacks newer layers of caches."""

import subprocess
import sys

NEWER = ("DummyLayer", "LinearAttentionLayer", "LinearAttentionAndFullAttentionLayer")


def test_layers_of_caches_that_an_older_version_lacks_are_not_needed() -> None:
    program = (
        "from transformers import cache_utils\n"
        f"for name in {NEWER!r}: delattr(cache_utils, name)\n"
        "import latentseek_agents.engine.vllm\n"
        "from latentseek_agents.engine._model_cache import CacheForm, may_be_joined, new_cache\n"
        "print(may_be_joined(new_cache(CacheForm(), None)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
