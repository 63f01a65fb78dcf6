"""The fast products are the plain product, up to rounding."""

import pytest
import torch

from latentseek_agents.engine import _cpu_kernels as linear
from latentseek_agents.engine._cpu_kernels import fast_product, with_fast_linear

ROWS = (1, 5, 6, 16, 17, 48, 96, 97, 200)


@pytest.fixture(autouse=True, params=[True, False], ids=["native", "widened"])
def _processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "native_bfloat16", lambda: request.param)


def made(count: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    rows, weight, bias = (
        torch.randn(*shape, generator=generator) for shape in ((count, 24), (4100, 24), (4100,))
    )
    return rows.to(dtype), weight.to(dtype), bias.to(dtype)


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_product_in_full_precision(count: int, dtype: torch.dtype, with_bias: bool):
    rows, weight, bias = made(count, dtype)
    expected = rows.double() @ weight.double().T + (bias.double() if with_bias else 0)
    got = fast_product(rows, weight, bias if with_bias else None)
    assert (got.dtype, got.shape) == (dtype, (count, 4100))
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)


def test_leading_dimensions_are_kept():
    rows, weight, bias = made(30, torch.float32)
    got = fast_product(rows.view(2, 3, 5, 24), weight, bias)
    torch.testing.assert_close(got.view(30, -1), torch.nn.functional.linear(rows, weight, bias))


@pytest.mark.parametrize("count", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_that_of_the_product(count: int, dtype: torch.dtype):
    rows, weight, bias = made(count, dtype)
    gradients = []
    wide = (rows.double(), weight.double(), bias.double())
    for product, (x, w, b) in ((fast_product, (rows, weight, bias)), (torch.nn.functional.linear, wide)):
        variable = x.clone().requires_grad_()
        loss = torch.log_softmax(product(variable, w, b).double(), dim=-1)[:, 7].sum()
        gradients.append(torch.autograd.grad(loss, variable)[0].double())
    # Rounded logits and gradients of bfloat16 meet in sums of 4,100 terms.
    tolerance = 0.15 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(gradients[0], gradients[1], rtol=tolerance, atol=tolerance)


def test_a_fast_layer_shares_its_weights_and_leaves_the_layer_alone():
    layer = torch.nn.Linear(24, 40)
    fast = with_fast_linear(layer)
    rows = torch.randn(8, 24, generator=torch.Generator().manual_seed(0))
    assert type(layer) is torch.nn.Linear
    assert fast.weight is layer.weight
    torch.testing.assert_close(fast(rows), layer(rows))
    with torch.no_grad():
        layer.weight.zero_()
    torch.testing.assert_close(fast(rows), layer.bias.expand(8, 40))
