"""Decoders: a compressed member as a stream that can be taken up again where it was left.

A decoder of deflate can be copied in any state, at the price of its window; that is what a
checkpoint is. Those of bzip2 and LZMA cannot.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from backends.archive.member import BZIP2, DEFLATED, LZMA, STORED, Packed

#: Compressed bytes read at a time.
_INPUT_BYTES: Final = 64 << 10
#: LZMA members say how large a dictionary their decoder needs; beyond this they are refused.
DICTIONARY_BYTES: Final = 64 << 20


#: Gives so many bytes from a position of the archive, fewer only at its end.
ReadAt: TypeAlias = Callable[[int, int], bytes]


class DecodeError(Exception):
    """A member that cannot be decoded; the text says why."""


class _Engine(Protocol):
    """bz2's and lzma's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Decoder:
    """Stands at `position` of a member's bytes, and gives those that follow."""

    def __init__(self, read: ReadAt, packed: Packed) -> None:
        self.packed = packed
        #: How far it has come, and the CRC-32 of all up to there.
        self.position = 0
        self.crc = 0
        #: Bytes of memory that it takes, about.
        self.weight = _INPUT_BYTES
        self._read = read
        self._at = packed.position
        self._end = packed.position + packed.packed_size

    def take(self, count: int) -> bytes:
        """Exactly the next `count` bytes. Raises DecodeError, OSError."""
        parts, missing = [], count
        while missing:
            try:
                part = self._decode(missing)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError) as exc:
                if isinstance(exc, OSError) and exc.errno is not None:
                    raise
                raise DecodeError(f"damaged at byte {self.position}: {exc}") from None
            parts.append(part)
            missing -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.position += count
        self.crc = zlib.crc32(data, self.crc)
        if self.position == self.packed.size and self.crc != self.packed.crc:
            raise DecodeError("its CRC-32 is not what the archive says")
        return data

    def _decode(self, limit: int) -> bytes:
        """Some bytes, `limit` at most, perhaps none yet."""
        data = self._input()
        if not data:
            raise DecodeError("it ends too soon")
        return data

    def _input(self) -> bytes:
        data = self._read(min(_INPUT_BYTES, self._end - self._at), self._at)
        self._at += len(data)
        return data

    def copy(self) -> Decoder | None:
        """Another one at the same place; None: there is no way."""
        return None


class _Stored(Decoder):
    def _input(self) -> bytes:
        # All at once: small members are checked this way.
        data = self._read(self._end - self._at, self._at)
        self._at += len(data)
        return data


class _Deflate(Decoder):
    def __init__(self, read: ReadAt, packed: Packed) -> None:
        super().__init__(read, packed)
        self.weight += 48 << 10
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)

    def _decode(self, limit: int) -> bytes:
        engine = self._engine
        if engine.eof:
            raise DecodeError("it ends too soon")
        data = engine.unconsumed_tail or self._input()
        out = engine.decompress(data, limit)
        if not out and not data:
            raise DecodeError("it ends too soon")
        return out

    def copy(self) -> Decoder | None:
        other = _Deflate.__new__(_Deflate)
        other.__dict__.update(self.__dict__)
        other._engine = self._engine.copy()
        return other


class _Other(Decoder):
    """bzip2 and LZMA."""

    def __init__(self, read: ReadAt, packed: Packed) -> None:
        super().__init__(read, packed)
        self._engine: _Engine
        if packed.method == BZIP2:
            self.weight += 4 << 20
            self._engine = bz2.BZ2Decompressor()
        else:
            self._engine = self._lzma()

    def _lzma(self) -> _Engine:
        """APPNOTE.TXT section 5.8.8: version, length of the properties, properties."""
        head = self._read(9, self._at)
        if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 225:
            raise DecodeError("its LZMA properties are damaged")
        self._at += 9
        dictionary = max(4096, int.from_bytes(head[5:9], "little"))
        if dictionary > DICTIONARY_BYTES:
            raise DecodeError(f"decoding it takes {dictionary} bytes of memory")
        self.weight += dictionary
        rest, lc = divmod(head[4], 9)
        pb, lp = divmod(rest, 5)
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}]
        try:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
        except lzma.LZMAError as exc:
            raise DecodeError(f"its LZMA properties are damaged: {exc}") from None

    def _decode(self, limit: int) -> bytes:
        engine = self._engine
        if engine.eof:
            raise DecodeError("it ends too soon")
        data = self._input() if engine.needs_input else b""
        out = engine.decompress(data, limit)
        if not out and not data and engine.needs_input:
            raise DecodeError("it ends too soon")
        return out


def decoder(read: ReadAt, packed: Packed) -> Decoder:
    """A decoder at the beginning of a member. Raises DecodeError, OSError."""
    kinds: dict[int, type[Decoder]] = {
        STORED: _Stored,
        DEFLATED: _Deflate,
        BZIP2: _Other,
        LZMA: _Other,
    }
    return kinds[packed.method](read, packed)
