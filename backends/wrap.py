"""Wraps around a whole backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from backends.base import Backend, Buffer, Context, Key, Stable

#: The calls of the contract: everything but its life cycle.
OPERATIONS = (
    "root", "getattr", "lookup", "read", "readdir", "peek", "parent", "access", "readlink",
    "setattr", "write", "commit", "create", "mkdir", "symlink", "mknod", "remove", "rmdir",
    "rename", "link", "statfs",
)  # fmt: skip


class _InTask:
    """Stands for a backend whose calls need a Task of their own and data that stays."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        for name in OPERATIONS:
            setattr(self, name, partial(_task, getattr(backend, name)))
        self.write = partial(_write, backend)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _task(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
    return asyncio.get_running_loop().create_task(method(*args, **kwargs))


def _write(
    backend: Backend, ctx: Context, key: Key, offset: int, data: Buffer, stable: Stable
) -> Awaitable[Any]:
    return _task(backend.write, ctx, key, offset, bytes(data), stable)


def in_task(backend: Backend) -> Backend:
    """`backend`, its calls each run in a Task, its `write` given bytes of its own.

    That is what `Backend.inline` = False asks for: the server steps handlers outside of any Task.
    """
    return cast(Backend, _InTask(backend))
