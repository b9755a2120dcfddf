"""A lock service: `lock.x` is the program, `server` and `client` are to be run."""
