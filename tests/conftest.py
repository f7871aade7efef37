"""What holds for tests of every kind."""

from hypothesis import settings

# How long an example takes is the machine's business: there are benchmarks for that.
settings.register_profile("peapod", deadline=None)
settings.load_profile("peapod")
