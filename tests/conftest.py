"""For all tests: hypothesis measures no time, as no test does; machines have bad days."""

from hypothesis import settings

settings.register_profile("nfsloop", deadline=None)
settings.load_profile("nfsloop")
