"""The one error that users of the command are told. Imports next to nothing, as all commands import
it."""

from __future__ import annotations

import os


class ConfigError(Exception):
    """What its user has to put right; each of `problems` is one line for him."""

    def __init__(self, *problems: object) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = [str(problem) for problem in problems]


def denied(path: str | os.PathLike[str]) -> str:
    """What to do where the permission for `path` is missing: the end of a line that says so."""
    me, owner, there = os.geteuid(), None, os.path.abspath(path)
    while owner is None:
        try:
            owner = os.stat(there).st_uid
        except OSError:  # who may not search the one above sees that instead
            if there == "/":
                break
            there = os.path.dirname(there)
    if owner is None or owner == me:
        return f"the server runs as user {me}; see the mode of {there}"
    return (
        f"the server runs as user {me}, and {there} is user {owner}'s: chown {me} it, or run the "
        f"server as user {owner} (of a container: --user {owner})"
    )
