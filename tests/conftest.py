"""How laws are tried: the same examples every time, or new ones to look for what is rare.

What one person changed is judged by the same examples before and after; `make laws` goes on looking
with new ones. A busy machine is no fault: laws have no deadline of their own (every test has a
long one).
"""

import os

from hypothesis import settings

settings.register_profile("same", settings(), deadline=None, derandomize=True, database=None)
settings.register_profile("new", settings(), deadline=None)
settings.load_profile(os.environ.get("BAYPLAN_EXAMPLES", "same"))
