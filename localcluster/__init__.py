"""A real Kubernetes control plane on this machine, without Docker."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("bayplan") is None:  # a checkout without an install
    sys.path.append(str(Path(__file__).parents[1] / "operator"))

from localcluster.cluster import Cluster

__all__ = ["Cluster"]
