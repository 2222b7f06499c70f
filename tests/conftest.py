"""A busy machine is no fault: laws have no deadline of their own (every test has a long one)."""

from hypothesis import settings

settings.register_profile("bayplan", settings(), deadline=None)
settings.load_profile("bayplan")
