"""The conformance kit: run what `backends.base` asks for against a backend of your own.

    from backends.conformance import BackendConformance

    class TestMine(BackendConformance):
        def make_backend(self, tmp_path):
            return MyBackend(tmp_path)

pytest then runs the tests that the backend's declared `Limits` call for, each with a backend of its
own, without mount or root; what does not apply is skipped, and the reason says why. `Kit` has the
switches and hooks: a read-only backend sets `tree` to what it serves, one with storage gives
`reopen`, one that trusts the server with permissions sets `checks_permissions = False`.
"""

from __future__ import annotations

import pytest

_MODULES = (
    "kit",
    "reading",
    "creating",
    "files",
    "names",
    "renaming",
    "listing",
    "rights",
    "restart",
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from backends.conformance.creating import Creating  # noqa: E402
from backends.conformance.files import Files  # noqa: E402
from backends.conformance.kit import Kit, Link, Tree  # noqa: E402
from backends.conformance.listing import Listings  # noqa: E402
from backends.conformance.names import Names  # noqa: E402
from backends.conformance.reading import Reading  # noqa: E402
from backends.conformance.renaming import Renaming  # noqa: E402
from backends.conformance.restart import Restart  # noqa: E402
from backends.conformance.rights import Rights  # noqa: E402

__all__ = ["BackendConformance", "Kit", "Link", "Tree"]


class BackendConformance(Reading, Creating, Files, Names, Renaming, Listings, Rights, Restart):
    """All tests of the kit; subclass it in a test module, and give `make_backend`."""
