"""Fixtures: tiny random models, and the embedded model loaded once."""

import functools

import pytest
from hypothesis import settings

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import ARCHITECTURES, tiny_backbone

# No test is timed: a machine that is busy with something else must not fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_tiny = functools.cache(tiny_backbone)


@pytest.fixture
def tiny() -> Backbone:
    """A tiny random Llama with a chat template, shared by the tests."""
    return _tiny("Llama")


@pytest.fixture(params=list(ARCHITECTURES))
def any_backbone(request: pytest.FixtureRequest) -> Backbone:
    """A tiny random model of each architecture in turn."""
    return _tiny(request.param)


@functools.cache
def _smollm2() -> Backbone:
    return Backbone.embedded(dtype="float32")


@pytest.fixture
def smollm2() -> Backbone:
    """The embedded SmolLM2-135M-Instruct in float32, loaded once."""
    return _smollm2()
