"""What generated XDR codecs stand on (RFC 4506): padding, bounds, and the two hand-written scalars.

Conventions of every codec, generated or by hand:

* ``decode_T(buf, pos) -> (value, pos)``: `buf` is `bytes` or a flat `memoryview`, `pos` an offset
  in bytes. Raises `XdrError`, `struct.error` or `RecursionError` for bytes that are no T; `decode`
  (below) is the one place that folds them into `XdrError` and refuses bytes left over.
* ``encode_T(value, put)``: hands its encoding to `put` (usually `list.append`) in one or more
  buffers, each a multiple of four bytes but for bulk opaque data, which is handed on uncopied and
  followed by its padding.
* `opaque` whose bound is at most `COPY_MAX` bytes, and every `string`, decodes to `bytes`; larger
  opaque data decodes to a slice of `buf`, without a copy where `buf` is a memoryview.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

from oncrpc.errors import XdrError

T = TypeVar("T")
Buffer: TypeAlias = bytes | bytearray | memoryview
Put: TypeAlias = Callable[[Buffer], object]
Decoder: TypeAlias = Callable[[Buffer, int], tuple[T, int]]
Encoder: TypeAlias = Callable[[T, Put], None]

#: Opaque data of a bound up to this many bytes is copied out: cheaper than a view, and hashable.
COPY_MAX = 1024

#: ``PAD[n & 3]`` is the padding after n bytes of opaque data.
PAD = (b"", b"\0\0\0", b"\0\0", b"\0")

FALSE = b"\0\0\0\0"
TRUE = b"\0\0\0\1"


def decode(decoder: Decoder[T], buf: Buffer, pos: int = 0) -> T:
    """Decode all of ``buf[pos:]``. Raises XdrError if that is no T, too short or too long."""
    try:
        value, end = decoder(buf, pos)
    except (struct.error, RecursionError, OverflowError) as exc:
        raise XdrError(str(exc)) from None
    if end != len(buf):
        raise XdrError(f"{len(buf) - end} bytes left over")
    return value


def encode(encoder: Encoder[T], value: T) -> bytes:
    """The whole encoding as one `bytes`. Raises XdrError if `value` is no T."""
    parts: list[Buffer] = []
    try:
        encoder(value, parts.append)
        return b"".join(parts)
    except (struct.error, RecursionError, OverflowError, AttributeError, TypeError) as exc:
        raise XdrError(str(exc)) from None


class EnumTable(dict[int, T]):
    """The values of an enumeration by their numbers; any other number raises XdrError."""

    def __init__(self, name: str, values: Mapping[int, T]) -> None:
        super().__init__(values)
        self.name = name

    def __missing__(self, number: object) -> NoReturn:
        raise XdrError(f"{self.name}: {number!r} is none of its values")


class UnpackTable(dict[int, Callable[[Buffer, int], tuple[Any, ...]]]):
    """``table[n](buf, pos)``: n opaque bytes, their padding and the fixed run `tail`, in one call.

    Longer than `bound` raises XdrError. One `Struct` is kept for each length up to `COPY_MAX`.
    """

    def __init__(self, name: str, bound: int | None, tail: str = "") -> None:
        super().__init__()
        self.name, self.bound, self.tail = name, bound, tail

    def __missing__(self, n: int) -> Callable[[Buffer, int], tuple[Any, ...]]:
        if self.bound is not None and n > self.bound:
            raise too_long(self.name, n, self.bound)
        unpack = struct.Struct(f">{n}s{-n & 3}x{self.tail}").unpack_from
        if n <= COPY_MAX:
            self[n] = unpack
        return unpack


class PackTable(dict[int, Callable[..., bytes]]):
    """``table[n](...)``: the run `head`, n opaque bytes with padding, the run `tail`, in one call.

    Longer than `bound` raises XdrError. One `Struct` is kept for each length up to `COPY_MAX`.
    """

    def __init__(self, name: str, bound: int | None, head: str = "I", tail: str = "") -> None:
        super().__init__()
        self.name, self.bound, self.head, self.tail = name, bound, head, tail

    def __missing__(self, n: int) -> Callable[..., bytes]:
        if self.bound is not None and n > self.bound:
            raise too_long(self.name, n, self.bound)
        pack = struct.Struct(f">{self.head}{n}s{-n & 3}x{self.tail}").pack
        if n <= COPY_MAX:
            self[n] = pack
        return pack


#: `bool` on the wire (RFC 4506 section 4.4): 0 and 1, nothing else.
BOOL: EnumTable[bool] = EnumTable("bool", {0: False, 1: True})


def too_long(name: str, length: int, bound: int) -> XdrError:
    """The error of `length` bytes or elements where `bound` is the most, or the exact number."""
    return XdrError(f"{name}: length {length}, bound {bound}")


def truncated(name: str) -> XdrError:
    """The error of data that end inside a `name`."""
    return XdrError(f"{name}: truncated")


def no_value(name: str, number: object) -> XdrError:
    """The error of a discriminant, or a presence flag, that `name` has no arm for."""
    return XdrError(f"{name}: {number!r} selects nothing")


def decode_void(buf: Buffer, pos: int) -> tuple[None, int]:
    """`void`: no bytes at all (RFC 4506 section 4.16)."""
    return None, pos


def encode_void(value: None, put: Put) -> None:
    """`void`: no bytes at all (RFC 4506 section 4.16)."""


def pretty(value: object, depth: int = 4, indent: int = 0, most: int | None = None) -> str:
    """`value` as a person reads it: structs by field, enums by name, opaque data in hex.

    At most `depth` levels are opened; deeper ones show as ``...``. Long opaque data is cut, and so
    are lists after `most` elements.
    """
    pad = "  " * (indent + 1)
    if dataclasses.is_dataclass(value):
        name = type(value).__name__
        if depth <= 0:
            return f"{name}(...)"
        shown = {f.name: f.name for f in dataclasses.fields(value)}
        arms: dict[int | None, str] | None = getattr(value, "__arms__", None)
        if arms is not None:  # a union: `value` is shown under the name of its arm
            discriminant = getattr(value, next(iter(shown)))
            shown["value"] = arms.get(discriminant, arms.get(None, "value"))
        rows = (
            f"{pad}{label}: {pretty(getattr(value, field), depth - 1, indent + 1, most)}"
            for field, label in shown.items()
            if label != "void"
        )
        return "\n".join((name, *rows))
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _opaque(bytes(value[:64]), len(value))
    if isinstance(value, list):
        if depth <= 0:
            return f"[{len(value)} ...]"
        rows = (f"{pad}- {pretty(item, depth - 1, indent + 1, most)}" for item in value[:most])
        return "\n".join((f"[{len(value)}]", *rows))
    return str(value)


def _opaque(head: bytes, length: int) -> str:
    text = f'"{head.decode()}"' if head.isascii() and head.decode().isprintable() else head.hex()
    return text if len(head) == length else f"{text}... ({length} bytes)"
