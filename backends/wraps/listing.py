"""Listings seen, or changed, on their way up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backends.base import Attr, DirEntry, Listing


def relisted(listing: Listing, attr: Attr | None, each: Callable[[DirEntry], DirEntry]) -> Listing:
    """`listing` with what `each` makes of its entries, when they are taken, and another `attr`."""
    again = Listing((), listing.eof, attr)

    def entries() -> Iterator[DirEntry]:
        for entry in listing.entries:
            yield each(entry)
        again.eof = listing.eof  # known only now, if they are lazy

    again.entries = entries()
    return again
