"""The commands of `nfsloop`, a module each; its name is the command's.

Each has `HELP`, `DESCRIPTION`, `EPILOG`, ``arguments(parser)`` and ``run(args)``, which gives the
exit status and raises ConfigError with what its user has to put right. Only that of the command
that is given is imported.
"""
