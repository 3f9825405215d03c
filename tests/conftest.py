"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a machine with other work stalls at times
settings.load_profile("unhurried")
