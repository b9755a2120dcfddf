"""What wraps stand on: a backend in front of another."""

from __future__ import annotations

from typing import Any

from backends.base import OPERATIONS, Backend
from backends.threads import Threaded


class Wrap(Backend):
    """A backend in front of another, `below`: override what shall be different.

    What is not overridden goes straight to `below`, at no cost; so overriding `lookup` does not
    change what `peek` does. A wrap is inline where `below` is; it must then keep that promise.
    """

    def __init__(self, below: Backend) -> None:
        #: Can be called from the event loop, also if `below` was a blocking backend.
        self.below: Backend = Threaded(below) if below.blocking else below
        self.inline = self.below.inline
        self.patience = self.below.patience
        self._adopt()
        for name in OPERATIONS:
            if getattr(type(self), name) is getattr(Backend, name):
                setattr(self, name, getattr(self.below, name))

    def __getattr__(self, name: str) -> Any:
        # `verifier`, and what the backend has beyond the contract.
        if name == "below":  # not there yet
            raise AttributeError(name)
        return getattr(self.below, name)

    def _adopt(self) -> None:
        self.limits = self.below.limits
        self.persistent = self.below.persistent
        self.shareable = type(self).shareable and self.below.shareable

    async def start(self) -> None:
        """Start `below`, and take over its limits."""
        await self.below.start()
        self._adopt()

    def describe(self) -> str:
        """What `below` says."""
        return self.below.describe()

    def set_sync(self, sync: bool) -> None:
        """See `Backend.set_sync`."""
        self.below.set_sync(sync)

    def share(self) -> None:
        """See `Backend.share`. A wrap is `shareable` if its class says so, and `below` is."""
        self.below.share()

    async def health(self) -> str | None:
        """See `Backend.health`."""
        return await self.below.health()

    def statistics(self) -> dict[tuple[str, str], int]:
        """See `Backend.statistics`: those of `below`. A wrap with a cache adds its own."""
        return self.below.statistics()

    async def fsck(self, repair: bool = False) -> list[str]:
        """See `Backend.fsck`."""
        return await self.below.fsck(repair)

    async def stop(self) -> None:
        """Stop `below`."""
        await self.below.stop()
