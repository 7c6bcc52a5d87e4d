"""The processes that train one head together, where `torch.distributed` is set up; one process otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Ranks"]


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """Return this process's place; without a process group it is alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def share(self) -> slice:
        """Every how manieth row of what all hold is this process's; rows sorted by length are dealt out evenly."""
        return slice(self.rank, None, self.count)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put the sums over all processes in the place of float32 or float64 tensors, in one exchange each type."""
        if self.count == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # in one order everywhere
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            together = torch.cat([tensor.flatten() for tensor in alike])
            dist.all_reduce(together)
            at = 0
            for tensor in alike:
                tensor.copy_(together[at : at + tensor.numel()].view_as(tensor))
                at += tensor.numel()

    def first(self, value: Any) -> Any:  # noqa: ANN401 - whatever the first process holds
        """Return what the first process holds."""
        if self.count == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]
