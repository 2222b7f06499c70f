"""Names that Bayplan writes into the cluster: labels, annotations, finalizers. One place."""

import functools
import hashlib

from bayplan.model import movability, pods

GROUP = "bayplan.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
BATCHJOB = "BatchJob"
LONGSERVICE = "LongService"
POOL_KIND = "Pool"
SCHEDULER = "bayplan"

# Labels on pods.
JOB = f"{GROUP}/job"
SERVICE = f"{GROUP}/service"
RUN = f"{GROUP}/run"
SLOT = f"{GROUP}/slot"  # epoch seconds, decimal
ATTEMPT = f"{GROUP}/attempt"
TASK_INDEX = f"{GROUP}/task-index"  # of a run that has several pods
PER_TASK = frozenset({RUN, SLOT, ATTEMPT, TASK_INDEX})  # labels that tell tasks of a job apart
SAMPLE = "dry-run"  # the value of these labels on a pod that is only for a dry run
REVISION = f"{GROUP}/revision"
ADDED = PER_TASK | {REVISION}  # labels that a task gets only when it becomes a pod
TEMPLATE_HASH = f"{GROUP}/template-hash"
POOL = f"{GROUP}/pool"  # also on nodes and claims, and the key of the taint of a Pool's nodes
PLACE = f"{GROUP}/place"  # the pod's number among the N pods that MaxPer N allows per group

# Annotations on pods and children.
TRIGGER = f"{GROUP}/trigger"
TASKS = f"{GROUP}/tasks"  # on pods of a run that has several tasks: how many
GANG = f"{GROUP}/gang"  # on pods of a run whose tasks are placed all together or not at all
PER_NODE = movability.PER_NODE  # "true" on pods of a service with mode PerNode
DIGEST = f"{GROUP}/digest"
EXPECTED_SECONDS = pods.EXPECTED_SECONDS  # on pods: how long the run will take
PARENTS = f"{GROUP}/parents"  # on pods: the successes that the run consumes, NAME=RUN,…

# Annotations on resources that ask for an action.
RUN_NOW = f"{GROUP}/run-now"
RUN_NOW_ARGS = f"{GROUP}/run-now-args"  # JSON: {"args": […], "env": {…}}; also on the run's pods
CANCEL_RUN = f"{GROUP}/cancel-run"  # identity of a run
MARK_SUCCESS = f"{GROUP}/mark-success"  # identity of a run
RETRY = f"{GROUP}/retry"  # identity of a finished run
BACKFILL = f"{GROUP}/backfill"  # FROM/TO, two times; `stop` ends what is left
PAUSED_UNTIL = f"{GROUP}/paused-until"  # RFC 3339; a time that has passed resumes
RESTARTED_AT = f"{GROUP}/restarted-at"
ROLLBACK_TO = f"{GROUP}/rollback-to"  # name of a kept ControllerRevision
PROMOTE = f"{GROUP}/promote"  # a new value lets one step of an update pass
MOVE = f"{GROUP}/move"  # on pods: `Never`, or absent
PRICED = f"{GROUP}/deletion-cost"  # on pods: the value of DELETION_COST if we have set it
IGNORE_MASS_LOSS = f"{GROUP}/ignore-mass-loss"  # "true": this service goes on despite a mass loss

# Finalizer on run pods.
RUN_TRACKING = f"{GROUP}/run-tracking"

# Names that other projects define.
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
POD_INDEX = "apps.kubernetes.io/pod-index"
SELECTED_NODE = "volume.kubernetes.io/selected-node"  # on a claim: where its volume will be used

_LONGEST_VALUE = 63


@functools.lru_cache(maxsize=16384)
def owner_value(name: str) -> str:
    """A resource's name as the value of the label that names it on its pods (`JOB`, `SERVICE`).

    A label's value may not be as long as a name: a name that is too long is cut, and a hash of the
    whole name keeps two names that begin alike different.
    """
    if len(name) <= _LONGEST_VALUE:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: _LONGEST_VALUE - 9].rstrip('-.')}-{digest}"
