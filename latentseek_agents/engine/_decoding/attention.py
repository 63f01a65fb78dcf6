"""Attention in one kernel, and the sizes at which it gives a query the same bits in any company."""

import functools
import logging

import torch

from latentseek_agents.engine.policy import nearly_equal

_log = logging.getLogger(__name__)
ALIGNED = 8
"""Elements: 16 bytes in half precision, which a GPU's kernel demands of the rows of a mask."""

FIXED_POSITIONS = (256, 512)
"""What the number of keys may be a multiple of, so that a query has the same bits whatever row is longest.
With AVX-512 256 is enough; with AVX2 alone 256 keys are added up otherwise than the same among more."""


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    softcap: float | None,
) -> torch.Tensor:
    """Attention of a few new tokens of several rows.

    Args:
        query: (R, H, n, d).
        key: (R, H_kv, L, d).
        value: (R, H_kv, L, d_v).
        mask: (R, 1, n * H / H_kv, L), 0 where a token may look and -inf elsewhere; None if nothing is hidden.
        scale: Of the scores.
        softcap: The largest score, if there is one.

    Returns:
        (R, H, n, d_v).
    """
    rows, heads, new, _ = query.shape
    # Query heads that share keys become further queries; the keys need not be repeated then.
    query = query.reshape(rows, key.shape[1], -1, query.shape[-1])
    if softcap:
        scores = torch.matmul(query, key.transpose(-1, -2)) * scale
        scores = softcap * torch.tanh(scores / softcap)
        scores = scores if mask is None else scores + mask
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        output = torch.matmul(weights, value)
    else:
        output = _fused(query, key, value, mask, scale)
    return output.reshape(rows, heads, new, output.shape[-1])


@functools.cache
def fixed_width(new: int, share: int, width: int) -> int:
    """How many queries to compute for ``new`` of them, so that each has the bits it has in any company.

    On a CPU a matrix product takes another routine for one row than for many, which adds up in another order.
    Which sizes agree depends on processor and library, so it is tried: on random numbers, against the same
    queries in blocks of 32.

    Args:
        new: New tokens of a row.
        share: Query heads for each head of keys.
        width: d.

    Returns:
        ``new`` or a little more; ``new`` if no size agrees, which the log says.
    """
    most = -(-new // 32) * 32
    generator = torch.Generator().manual_seed(0)
    keys = 2 * FIXED_POSITIONS[0]
    shape = (1, 1, keys, width)
    key, value = (torch.randn(shape, generator=generator, device="cpu") for _ in range(2))
    query = torch.randn((1, share, most, width), generator=generator, device="cpu")
    seen = torch.arange(keys) <= torch.arange(most)[:, None] + keys // 2
    mask = torch.where(seen, 0.0, float("-inf"))

    def computed(start: int, count: int) -> torch.Tensor:
        part = slice(start, start + count)
        rows = mask[part].repeat(1, 1, share, 1)
        with torch.no_grad():
            return attend(query[:, :, part], key, value, rows, width**-0.5, None)

    expected = torch.cat([computed(start, 32) for start in range(0, most, 32)], dim=2)[:, :, :new]
    sizes = sorted({*(min(most, new + more) for more in range(8)), min(most, -(-new // 8) * 8), most})
    for size in sizes:
        if torch.equal(computed(0, size)[:, :, :new], expected):
            return size
    _log.warning("attention of %d queries depends on their number: a row's bits may differ in a batch", new)
    return new


@functools.cache
def fixed_positions(share: int, width: int) -> int:
    """What L is to be a multiple of, so that a query has the same bits whatever row is longest.

    Tried as in :func:`fixed_width`: with few keys and with many, behind which nothing is seen.

    Args:
        share: Query heads for each head of keys.
        width: d.

    Returns:
        256 or 512; the latter if neither agrees, which the log says.
    """
    for unit in FIXED_POSITIONS:
        if _agrees(unit, share, width):
            return unit
    _log.warning("attention depends on the number of keys: a row's bits may differ in a batch")
    return unit


def _agrees(unit: int, share: int, width: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    sizes = [unit * count for count in (1, 2, 3, 4)]
    key, value = (torch.randn((1, 1, sizes[-1], width), generator=generator, device="cpu") for _ in range(2))
    for new in sorted({fixed_width(count, share, width) for count in (1, 2, 8)}):
        query = torch.randn((1, share, new, width), generator=generator, device="cpu")
        for seen in range(unit // 8, 2 * unit + 1, unit // 8):
            hidden = torch.where(torch.arange(sizes[-1]) < seen, 0.0, float("-inf"))
            outputs = []
            for size in (one for one in sizes if one >= seen):
                mask = hidden[:size].repeat(1, 1, share * new, 1)
                with torch.no_grad():
                    parts = key[:, :, :size], value[:, :, :size]
                    outputs.append(attend(query, *parts, mask, width**-0.5, None))
            if not all(torch.equal(one, outputs[0]) for one in outputs):
                return False
    return True


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Attention in one kernel, as ``scaled_dot_product_attention``.

    Left to itself, torch may choose cuDNN on a GPU, which makes a plan for each new shape. Here nearly every
    pass has one, and the plans took longer than the passes. The switches for that are the whole process's,
    so the kernel that takes any shape is called by its name.
    """
    widths = query.shape[-1], value.shape[-1]
    if query.device.type == "cuda" and _has_kernel(query.device, query.dtype, *widths):
        return _any_shape(query, key, value, mask, scale)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


def _any_shape(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    bias = None if mask is None else mask.expand(*query.shape[:3], key.shape[2])
    attend = torch.ops.aten._scaled_dot_product_efficient_attention
    output: torch.Tensor = attend(query, key, value, bias, compute_log_sumexp=False, scale=scale)[0]
    return output


@functools.cache
def _has_kernel(device: torch.device, dtype: torch.dtype, width: int, value_width: int) -> bool:
    """Whether the kernel is there for these numbers, and right: tried on a few of them.

    Not every card has it for every format (a T4 has none for bfloat16), and its name may change.
    """
    if any(size * dtype.itemsize % 16 for size in (width, value_width)):
        return False
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(1, 2, 5, 2 * width + value_width, generator=generator, device="cpu")
        random = random.to(device, dtype)
        query, key, value = random[:, :, :3, :width], random[..., width : 2 * width], random[..., 2 * width :]
        hidden = torch.full((1, 1, 3, ALIGNED), float("-inf"), device=device, dtype=dtype)
        mask = hidden.triu(3)[..., :5]
        scores = query.float() @ key.float().transpose(-1, -2) * width**-0.5 + mask.float()
        expected = torch.softmax(scores, dim=-1) @ value.float()
        try:
            got = _any_shape(query, key, value, mask, width**-0.5).float()
        except (AttributeError, RuntimeError) as error:
            _log.warning("%s on %s has no attention kernel for any shape: %s", dtype, device, error)
            return False
        return nearly_equal(got, expected, expected, max(1e-3, 16 * torch.finfo(dtype).eps))
