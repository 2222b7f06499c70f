"""Names that Bayplan writes into the cluster: labels, annotations, finalizers. One place."""

GROUP = "bayplan.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
BATCHJOB = "BatchJob"
LONGSERVICE = "LongService"
SCHEDULER = "bayplan"

# Labels on pods.
JOB = f"{GROUP}/job"
SERVICE = f"{GROUP}/service"
RUN = f"{GROUP}/run"
SLOT = f"{GROUP}/slot"  # epoch seconds, decimal
ATTEMPT = f"{GROUP}/attempt"
REVISION = f"{GROUP}/revision"
TEMPLATE_HASH = f"{GROUP}/template-hash"
PLACE = f"{GROUP}/place"  # which of the N pods that MaxPer N allows a group

# Annotations on pods and children.
TRIGGER = f"{GROUP}/trigger"
DIGEST = f"{GROUP}/digest"
PARENTS = f"{GROUP}/parents"  # on pods: the successes that the run consumes, NAME=RUN,…

# Annotations as verbs on resources.
RUN_NOW = f"{GROUP}/run-now"
RUN_NOW_ARGS = f"{GROUP}/run-now-args"  # JSON: {"args": […], "env": {…}}; also on the run's pods
CANCEL_RUN = f"{GROUP}/cancel-run"  # identity of a run
MARK_SUCCESS = f"{GROUP}/mark-success"  # identity of a run
PAUSED_UNTIL = f"{GROUP}/paused-until"  # RFC 3339; a time that has passed resumes
RESTARTED_AT = f"{GROUP}/restarted-at"
ROLLBACK_TO = f"{GROUP}/rollback-to"  # name of a kept ControllerRevision
PROMOTE = f"{GROUP}/promote"  # a new value lets one step of an update pass
IGNORE_MASS_LOSS = f"{GROUP}/ignore-mass-loss"  # "true": this service goes on in spite of it

# Finalizer on run pods.
RUN_TRACKING = f"{GROUP}/run-tracking"

# Others' names.
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
