"""Storage behind nfsloop: the contract (`backends.base`) and the backends that come with it."""
