"""The one error that users of the command are told. Imports nothing, as all commands import it."""

from __future__ import annotations


class ConfigError(Exception):
    """What its user has to put right; each of `problems` is one line for him."""

    def __init__(self, *problems: object) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = [str(problem) for problem in problems]
