"""The store keeps what rows wrote, wherever they are moved and however much room there is."""

import pytest
import torch

from latentseek_agents.engine._decoding.kv_cache import KeyValueStore

HEADS, WIDTH = 2, 3


def made(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, HEADS, WIDTH, generator=torch.Generator().manual_seed(seed))


def write(store: KeyValueStore, slot: int, start: int, key: torch.Tensor, layer: int = 0) -> None:
    places = slot * store.positions + torch.arange(start, start + len(key))
    store.write(layer, places, key, 2 * key)


def read(store: KeyValueStore, slot: int, end: int, layer: int = 0) -> torch.Tensor:
    keys, values = store.save(slot, 0, end)[layer]
    torch.testing.assert_close(values, 2 * keys, equal_nan=True)
    return keys


def test_rows_stay_when_the_store_grows():
    store = KeyValueStore()
    store.reserve(1, 5)
    write(store, 0, 0, made(5))
    store.reserve(3, 700)
    write(store, 2, 0, made(700, 1))
    assert torch.equal(read(store, 0, 5), made(5))
    assert torch.equal(read(store, 2, 700), made(700, 1))
    assert (store.slots, store.positions) == (3, 768)
    store.reserve(1, 1)
    assert (store.slots, store.positions) == (3, 768)


def test_room_that_earlier_rows_left_is_given_back_when_it_would_be_too_much():
    store = KeyValueStore()
    store.reserve(1, 900, most_tokens=1000)  # one long row
    write(store, 0, 0, made(40))
    for slots in range(2, 9):
        store.reserve(slots, 50, most_tokens=1000)
        assert store.slots * store.positions <= 1000
        write(store, slots - 1, 0, made(50, slots))
    assert all(torch.equal(read(store, slot, 50), made(50, slot + 1)) for slot in range(1, 8))
    assert torch.equal(read(store, 0, 40), made(40))
    store.reserve(1, 900, most_tokens=1000)
    assert store.slots * store.positions <= 1000
    assert torch.equal(read(store, 0, 40), made(40))


def test_a_row_beyond_all_bounds_does_not_grow_token_by_token():
    store = KeyValueStore()
    sizes = set()
    for length in range(1, 400):
        store.reserve(1, length, most_tokens=10)
        sizes.add(store.positions)
    assert len(sizes) <= 4


@pytest.mark.parametrize("layer", [0, 1])
def test_memory_that_runs_out_between_two_layers_leaves_no_layer_behind(
    layer: int, monkeypatch: pytest.MonkeyPatch
):
    store = KeyValueStore()
    store.reserve(2, 4)
    for number in range(2):
        write(store, 1, 0, made(4, number), number)
    resized = KeyValueStore._resized

    def fails(self: KeyValueStore, old: torch.Tensor) -> torch.Tensor:
        if old is store._layers[layer][1]:
            raise MemoryError
        return resized(self, old)

    with monkeypatch.context() as patch:
        patch.setattr(KeyValueStore, "_resized", fails)
        with pytest.raises(MemoryError):
            store.reserve(2, 300)
    for number in range(2):
        write(store, 1, 4, made(3, 9), number)
        assert torch.equal(read(store, 1, 7, number), torch.cat([made(4, number), made(3, 9)]))


def test_a_row_without_tokens_needs_no_room_to_move():
    store = KeyValueStore()
    store.reserve(1, 5)
    write(store, 0, 0, made(5))
    store.move(2, 0, 0)
    store.wipe(2)
    assert torch.equal(read(store, 0, 5), made(5))


def test_a_saved_row_does_not_change_with_the_store():
    store = KeyValueStore()
    store.reserve(2, 8)
    write(store, 0, 0, made(8))
    saved = store.save(0, 2, 8)
    write(store, 0, 0, made(8, 1))
    store.load(1, 1, saved, 3)
    assert torch.equal(read(store, 1, 4)[1:], made(8)[2:5])


def test_nothing_that_is_not_a_number_stays_behind():
    store = KeyValueStore()
    store.reserve(2, 8)
    write(store, 1, 0, torch.full((8, HEADS, WIDTH), float("nan")))
    write(store, 0, 0, made(8))
    write(store, 1, 0, made(2))
    store.wipe(1, 2)
    assert torch.equal(read(store, 1, 8), torch.cat([made(2), torch.zeros(6, HEADS, WIDTH)]))
    assert torch.equal(read(store, 0, 8), made(8))
    store.clear()
    assert (store.slots, store.positions, store.save(0, 0, 1)) == (0, 0, {})
