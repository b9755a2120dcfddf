"""The conformance kit: run what `backends.base` asks for against a backend of your own.

    from backends.conformance import BackendConformance

    class TestMine(BackendConformance):
        def make_backend(self, tmp_path):
            return MyBackend(tmp_path)

pytest then runs the tests that the backend's declared `Limits` call for, each with a backend of its
own, without mount or root; what does not apply is skipped, and the reason says why. A line at the
end of the run counts both. The backend is called as the server calls it, a blocking one in threads;
each result is held against the contract, and where there is an `fsck` it must find nothing after
any test. A failure shows the last calls, and where the contract and the RFC speak of them.

`Kit` has the switches and hooks: a read-only backend sets `tree` to what it serves (and, to have
what writes left out at once, ``read_only = True``); one with storage gives `reopen`, perhaps
`crash`, and says ``killable = True`` to be killed by SIGKILL in the middle of its work; one that
trusts the server with permissions sets ``checks_permissions = False``.
"""

from __future__ import annotations

import pytest

_MODULES = (
    "checked",
    "kit",
    "reading",
    "creating",
    "files",
    "names",
    "renaming",
    "listing",
    "rights",
    "restart",
    "model",
    "walk",
    "kills",
    "together",
    "concurrency",
    "extremes",
    "lifecycle",
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from backends.conformance.concurrency import Concurrency  # noqa: E402
from backends.conformance.creating import Creating  # noqa: E402
from backends.conformance.extremes import Extremes  # noqa: E402
from backends.conformance.files import Files  # noqa: E402
from backends.conformance.kills import Kills  # noqa: E402
from backends.conformance.kit import Kit, Link, Tree  # noqa: E402
from backends.conformance.lifecycle import LifeCycle  # noqa: E402
from backends.conformance.listing import Listings  # noqa: E402
from backends.conformance.names import Names  # noqa: E402
from backends.conformance.reading import Reading  # noqa: E402
from backends.conformance.renaming import Renaming  # noqa: E402
from backends.conformance.restart import Restart  # noqa: E402
from backends.conformance.rights import Rights  # noqa: E402
from backends.conformance.walk import Walks  # noqa: E402

__all__ = ["BackendConformance", "Kit", "Link", "Tree"]


class BackendConformance(
    LifeCycle,
    Reading,
    Creating,
    Files,
    Names,
    Renaming,
    Listings,
    Extremes,
    Rights,
    Concurrency,
    Restart,
    Walks,
    Kills,
):
    """All tests of the kit; subclass it in a test module, and give `make_backend`."""
