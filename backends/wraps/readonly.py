"""What cannot be changed from here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from backends.base import CHANGES, Access, Backend, Context, FsError, Granted, Key, Status
from backends.wrap import Wrap

#: The bits of ACCESS that a read-only file system never grants.
CHANGING = Access.MODIFY | Access.EXTEND | Access.DELETE


class ReadOnly(Wrap):
    """Nothing can be changed: every change is refused with ROFS.

    What changes `below` by another way than this wrap is seen as usual.
    """

    shareable = True

    def __init__(self, below: Backend) -> None:
        super().__init__(below)
        for name in CHANGES:
            setattr(self, name, _refuse)

    def _adopt(self) -> None:
        super()._adopt()
        self.limits = replace(self.below.limits, read_only=True)

    def describe(self) -> str:
        """What `below` says, and that it is read-only."""
        return f"{self.below.describe()}; read-only"

    async def access(self, ctx: Context, key: Key, mask: int) -> Granted:
        """What `below` grants, without what would change something."""
        return await self.below.access(ctx, key, mask & ~CHANGING)


async def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise FsError(Status.ROFS)
