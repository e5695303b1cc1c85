"""How much memory torch operations hold at a time, counted by the tensors they return.

Works on tensors without memory (`meta`) as well as on real ones, so that a model can be measured which no machine at
hand could hold. What a kernel allocates for itself and frees before it returns is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Return what is laid out like their first argument.
_FUSED = (torch.ops.aten.scaled_dot_product_attention.default, torch.ops.aten.rms_norm.default)


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the memory behind `tensors`; what several of them share counts once."""
    storages = {storage._cdata: storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storage.nbytes() for storage in storages.values())


class Allocations(TorchDispatchMode):
    """While entered, follows every tensor made on devices of the given type (`cpu`, `cuda`, `meta`) until it is gone.

    Enter it under `torch.inference_mode`: composite operations arrive whole then, as the fused kernels that a GPU has
    for them, and their inner steps are not counted.
    """

    def __init__(self, device_type: str) -> None:
        super().__init__()
        self.live = 0
        """Bytes held now, of what was made since the start."""
        self.peak = 0
        """The most bytes held at a time since the last `reset_peak`."""
        self._device_type = device_type
        self._followed: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def reset_peak(self) -> None:
        self.peak = self.live

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # `meta` would go through their plain steps, which come out in another layout, so that what follows would copy.
        whole = func in _FUSED and args[0].is_meta
        result = torch.empty_like(args[0]) if whole else func(*args, **kwargs)
        self._count(result, (args, kwargs))
        return result

    def _count(self, result: object, inputs: object) -> None:
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        storages = [tensor.untyped_storage() for tensor in made if tensor.device.type == self._device_type]
        new = {storage._cdata: storage for storage in storages if storage._cdata not in self._followed}
        if new:  # or a view of what was there before the start
            given = {leaf.untyped_storage()._cdata for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)}
            for key in new.keys() - given:
                size = new[key].nbytes()
                self._followed[key] = weakref.ref(new[key], partial(self._gone, key)), size
                self.live += size
        self.peak = max(self.peak, self.live)

    def _gone(self, key: int, _: weakref.ref[torch.UntypedStorage]) -> None:
        self.live -= self._followed.pop(key)[1]
