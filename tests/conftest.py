"""For all tests."""

from hypothesis import settings

# How long an example takes depends on what else the machine does; timings belong to `bench/`.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
