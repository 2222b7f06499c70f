"""kopf's part: it delivers the custom resources and is the operator's shell. Nothing else uses it.

`kopf run -m bayplan.handlers` imports this package and finds everything registered on kopf's
default registry; `python -m bayplan` brings a registry of its own and leaves that one unused.
"""

from bayplan.handlers import standalone

standalone.register()
