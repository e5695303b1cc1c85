"""Memory that tensors hold, counted rather than guessed."""

from __future__ import annotations

import gc

import torch


def live_tensor_bytes() -> int:
    """Bytes of all storages that Python can reach through tensors; views of one storage count once."""
    storages: dict[int, int] = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
