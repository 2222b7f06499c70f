"""What every reason of an Event or a condition means, and what to do: the page `events.md`.

The words are the operator's; a test compares them with those that its code can say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bayplan.model.reasons import Reason as Refusal

JOB, SERVICE, POOL = "BatchJob", "LongService", "Pool"
NORMAL, WARNING = "Normal", "Warning"


@dataclass(frozen=True, slots=True)
class Told:
    """`remedy` is empty where there is nothing to do."""

    kinds: tuple[str, ...]
    meaning: str
    remedy: str = ""
    type: str = ""  # of an Event


_BOTH = (JOB, SERVICE)
_POOL = (POOL,)
_NODES = (POOL, "Node")

EVENTS: Mapping[str, Told] = {
    "NodeClosing": Told(
        _NODES,
        "A node is to be given back when it is empty: new pods go there last.",
        "",
        NORMAL,
    ),
    "NodeDraining": Told(
        _NODES,
        "The pods of a node are being moved to others, so that it can be given back.",
        '`bayplan explain node NAME` says why; the annotation `bayplan.dev/keep: "true"` on the '
        "node ends it.",
        NORMAL,
    ),
    "NodeReopened": Told(
        _NODES,
        "A node that was to go takes pods again: they need it, somebody keeps it, or its pods "
        "could not be moved. The message says which.",
        "",
        NORMAL,
    ),
    "NodeDied": Told(
        ("Pool",),
        "A node has gone while its pods were being moved, not by Bayplan.",
        "The pods start elsewhere; where the machine went, Karpenter's Events say.",
        WARNING,
    ),
    "NodeGivenBack": Told(_NODES, "A node is empty and is being deleted.", "", NORMAL),
    "UnknownField": Told(
        _BOTH,
        "Fields of the template are no fields of a pod; the API server leaves them out.",
        "Mend the names that the message has, or remove the fields.",
        WARNING,
    ),
    "Missed": Told(
        (JOB,),
        "Scheduled times passed without a run, by `missedRunPolicy`, `startingDeadlineSeconds` or "
        "because a run before them went on, or no run could start (`Blocked`).",
        "See the reason in brackets; `bayplan backfill` makes up for them.",
        WARNING,
    ),
    "PassedWhileSuspended": Told(
        (JOB,), "Scheduled times passed while the job was suspended.", "", NORMAL
    ),
    "Suspended": Told(
        (JOB,),
        "`suspendAfterFailures` runs failed in a row: no run starts by itself.",
        "Mend the job, then change its spec or `bayplan run` it; a success ends it.",
        WARNING,
    ),
    "RunStarted": Told(
        (JOB,),
        "A run, or another attempt of it, has got a node; the message names node and pod. While "
        "the operator has very many Events to write, this Event may be left out.",
        "",
        NORMAL,
    ),
    "RunSucceeded": Told(
        (JOB,),
        "A run succeeded. While the operator has very many Events to write, this Event may be left "
        "out; `status.history` has every run.",
        "",
        NORMAL,
    ),
    "RunFailed": Told(
        (JOB,),
        "A run failed for good, its retries used up.",
        "The message has cause, exit code and node; `bayplan logs`, then `bayplan retry`.",
        WARNING,
    ),
    "RunCancelled": Told(
        (JOB,),
        "A run was cancelled: on request, by the next one, or its pod was deleted.",
        "",
        NORMAL,
    ),
    "CannotStart": Told(
        (JOB,),
        "A kubelet cannot start a container of a run: an image, a configuration, a volume.",
        "The message has its words. Mend the template: an attempt that has begun nothing follows "
        "it; else `startTimeoutSeconds` ends it.",
        WARNING,
    ),
    "AttemptReplaced": Told(
        (JOB,),
        "The template changed before an attempt had begun anything: one of the new template "
        "follows, at no cost to the retries.",
        "",
        NORMAL,
    ),
    "RunLate": Told(
        (JOB,),
        "A run lasts longer than `expectedDurationSeconds`; it goes on.",
        "Look at its logs, or raise the figure.",
        WARNING,
    ),
    "AttemptLost": Told(
        (JOB,),
        "A node took an attempt with it; it is tried again elsewhere, at no cost to the retries.",
        "",
        NORMAL,
    ),
    "RunMarked": Told((JOB,), "A person called a run a success (`mark-success`).", "", NORMAL),
    "RunNowRefused": Told(
        (JOB,),
        "`run-now` cannot be followed: a run that was asked for waits already, or its arguments "
        "cannot be read.",
        "Wait for that run, or write the arguments as the message says.",
        WARNING,
    ),
    "RetryRefused": Told(
        (JOB,),
        "`retry` names no run that failed or was cancelled.",
        "`bayplan runs JOB` lists them.",
        WARNING,
    ),
    "Backfill": Told((JOB,), "A backfill was taken up; the message counts its runs.", "", NORMAL),
    "BackfillRefused": Told(
        (JOB,),
        "A backfill cannot be followed.",
        "Write the annotation as the message says, or use `bayplan backfill`.",
        WARNING,
    ),
    "FailedScheduling": Told(
        ("Pod",),
        "The pod finds no room: the message is the sentence of `bayplan explain`. It is written "
        "within seconds, and again when the sentence has changed, at most once a minute for one "
        "pod and five times a second in all.",
        "`bayplan explain pod/NAME` counts the nodes and says what would help.",
        WARNING,
    ),
    "UnknownReceiver": Told(
        (JOB,),
        "`notifications` name a receiver that does not exist.",
        "An administrator defines it in the file of `--notifications-file`.",
        WARNING,
    ),
    "RolloutStarted": Told((SERVICE,), "Instances get another template.", "", NORMAL),
    "RolloutFinished": Told((SERVICE,), "Every instance has the template.", "", NORMAL),
    "RolledBack": Told(
        (SERVICE,),
        "An update made no progress and was given up for the template before.",
        "The message has the cause; apply a template that works.",
        WARNING,
    ),
    "RollbackRefused": Told(
        (SERVICE,),
        "`rollback-to` names no revision that is kept.",
        "`bayplan rollout history SERVICE` lists them.",
        WARNING,
    ),
    "Rebalancing": Told(
        (SERVICE,), "`rebalance` moves instances that break edited constraints.", "", NORMAL
    ),
    "InstanceFailed": Told(
        (SERVICE,),
        "An instance crashed, was killed or refused.",
        "The message has pod, cause and exit code; `kubectl logs --previous`.",
        WARNING,
    ),
}

# Events that repeat a condition's reason when it comes up, with that condition's meaning.
AS_CONDITIONS: Mapping[str, str] = {
    "Paused": NORMAL,
    "StepReached": NORMAL,
    "WaitingForDependencies": NORMAL,
    "ProgressDeadlineExceeded": WARNING,
    "MassLossBrake": WARNING,
    "InvalidTemplate": WARNING,
    "InvalidSpec": WARNING,
    "InvalidSchedule": WARNING,
    "InvalidTimeZone": WARNING,
    "TemplateRefused": WARNING,
    "WebhookUnavailable": WARNING,
    "ApiServerUnavailable": WARNING,
    "DependencyCycle": WARNING,
    "ChildRefused": WARNING,
    "QuotaExceeded": WARNING,
}

# Those of them that BatchJobs have; all others are of LongServices alone.
_OF_JOBS: Mapping[str, tuple[str, ...]] = {
    "InvalidTemplate": _BOTH,
    "InvalidSpec": _BOTH,
    "InvalidSchedule": (JOB,),
    "InvalidTimeZone": (JOB,),
    "TemplateRefused": _BOTH,
    "WebhookUnavailable": _BOTH,
    "ApiServerUnavailable": _BOTH,
    "ChildRefused": _BOTH,
    "QuotaExceeded": _BOTH,
}

CONDITIONS: Mapping[str, Told] = {
    "InvalidSpec": Told(
        (*_BOTH, POOL), "The spec cannot work.", "The message names field and remedy."
    ),
    "InvalidSchedule": Told(
        (JOB,), "`schedule` cannot be read or is never due.", "`bayplan next` shows when it is."
    ),
    "InvalidTimeZone": Told(
        (JOB,), "There is no such `timeZone`.", "Write one of the IANA names, such as Europe/Oslo."
    ),
    "InvalidTemplate": Told(
        _BOTH,
        "The API server would never accept a pod of the template.",
        "Mend the field that the message names.",
    ),
    "TemplateRefused": Told(
        _BOTH,
        "The API server refuses a pod of the template for now (a policy, a missing account); it "
        "is asked again every 10 s, or less often while more than 150 templates are refused. "
        "Meanwhile the scheduled times that pass count as missed (`Blocked`).",
        "Mend what the message names.",
    ),
    "WebhookUnavailable": Told(
        _BOTH,
        "The API server cannot call an admission webhook, without which it makes no pod. It is "
        "asked again as for `TemplateRefused`; the template is not at fault.",
        "Mend the webhook that the message names, or remove its configuration.",
    ),
    "ApiServerUnavailable": Told(
        _BOTH,
        "The API server gave no answer when it was asked about a pod of the template. It is asked "
        "again as for `TemplateRefused`; the template is not at fault.",
        "Look after the API server, if this lasts.",
    ),
    "QuotaExceeded": Told(
        _BOTH,
        "The namespace's ResourceQuota leaves no room for another pod, claim or Service.",
        "Raise the quota, or ask for less; no node is bought meanwhile.",
    ),
    "ChildRefused": Told(
        _BOTH,
        "The API server refuses an object of it (a Service, a disruption budget, a claim, a "
        "revision) or a change of one of its pods; the message names it and says why.",
        "Mend what the message names. It is tried again after 1 s … 5 min, and when a quota, a "
        "LimitRange, the namespace or a Service changes.",
    ),
    "Checking": Told(_BOTH, "The template is being checked by a dry run."),
    "Placed": Told(_BOTH, "Nothing waits for a node."),
    "NoRoom": Told(
        _BOTH,
        "Something finds no room on any node.",
        "`status.placement` and `bayplan explain` count the nodes by what keeps it off them.",
    ),
    "OperatorDefect": Told(
        _BOTH,
        "Bayplan met a defect of its own with this resource or its pods and has set it aside; all "
        "else goes on. It is tried again every minute and when the spec changes.",
        "The operator's log has the traceback (`set aside after a defect`): report it. Another "
        "spec may avoid it.",
    ),
    "VolumeBinding": Told(
        _BOTH,
        "A pod has its node and waits for a volume to be made there.",
        "If it lasts: is the StorageClass's provisioner running?",
    ),
    "Scheduled": Told((JOB,), "Runs start by the schedule."),
    "OnParents": Told((JOB,), "Runs start when its parents have succeeded."),
    "Suspended": Told((JOB,), "`suspend` is true.", "`bayplan resume JOB`."),
    "Paused": Told(
        _BOTH,
        "A job rests until a time (`paused-until`), an update until a person lets it go on "
        "(`updateStrategy.paused`).",
        "`bayplan resume JOB`, `bayplan rollout resume SERVICE`.",
    ),
    "TooManyFailures": Told(
        (JOB,),
        "`suspendAfterFailures` runs failed in a row.",
        "Mend the job, then change its spec or `bayplan run` it.",
    ),
    "InvalidPause": Told(
        (JOB,), "The annotation `paused-until` is no time; it is ignored.", "Write it as shown."
    ),
    "NotSuspended": Told((JOB,), "Runs may start."),
    "Finished": Told((JOB,), "The schedule has come to its end."),
    "ParentMissing": Told(
        (JOB,), "A parent does not exist (yet).", "Apply it, or take it out of `parents`."
    ),
    "ParentCycle": Told((JOB,), "`parents` lead in a circle.", "Take one of them out."),
    "Starting": Told((JOB,), "The run of a job without a schedule gets a node."),
    "Retrying": Told((JOB,), "Its next attempt waits for its time."),
    "Running": Told((JOB,), "The run has a node."),
    "Complete": Told((JOB,), "The run succeeded."),
    "RunFailed": Told(
        (JOB,), "The run failed for good.", "The message has the cause; `bayplan run JOB`."
    ),
    "RunCancelled": Told((JOB,), "A person cancelled the run.", "`bayplan run JOB`."),
    **{
        word: Told(
            (JOB,),
            f"{what} The run is held up.",
            "The message has the kubelet's words. Mend the template or what it names; else "
            "`startTimeoutSeconds` ends the attempt.",
        )
        for word, what in (
            ("CannotStart", "A kubelet cannot start a container, in a word that is not listed."),
            ("CrashLoopBackOff", "A sidecar ends again and again before the containers start."),
            ("CreateContainerConfigError", "A ConfigMap, Secret or user is not what it must be."),
            ("CreateContainerError", "The container runtime cannot make a container."),
            ("ErrImageNeverPull", "An image is not on the node, and may not be pulled."),
            ("ImageInspectError", "An image on the node cannot be read."),
            ("ImagePullBackOff", "An image cannot be pulled."),
            ("FailedAttachVolume", "A volume cannot be attached to the node."),
            ("FailedCreatePodSandBox", "The pod gets no sandbox: often its network is the cause."),
            ("FailedMapVolume", "A block volume cannot be mapped on the node."),
            (
                "FailedMount",
                "A volume cannot be mounted: often its Secret or ConfigMap is not there.",
            ),
            ("InvalidImageName", "The name of an image cannot be read."),
            ("PostStartHookError", "The hook after a container's start fails."),
            ("RunContainerError", "The container runtime cannot start a container."),
            ("Unhealthy", "The startup probe of a sidecar fails, and the containers wait for it."),
            ("StartError", "The last attempt's container could not be started."),
            ("ContainerCannotRun", "The last attempt's container could not be started."),
            ("StartTimeout", "The last attempt did not start within `startTimeoutSeconds`."),
        )
    },
    "DeadlineExceeded": Told(
        (JOB,), "Its last attempt outlived `activeDeadlineSeconds`.", "Raise it, or ask for more."
    ),
    "TooManyDisruptions": Told(
        (JOB,),
        "The run lost so many attempts to nodes that it was given up.",
        "Use nodes that stay, or shorter runs.",
    ),
    "NoRunYet": Told((JOB,), "No run has finished."),
    "Succeeded": Told((JOB,), "The last run succeeded."),
    "Failed": Told((JOB,), "The last run failed.", "The message has the cause."),
    "Cancelled": Told((JOB,), "The last run was cancelled."),
    "Ready": Told((SERVICE,), "Every instance is there and healthy."),
    "ScaledToZero": Told((SERVICE,), "`replicas` is 0 and nothing runs."),
    "NoNodeForIt": Told(
        (SERVICE,),
        "With mode PerNode: no node is for it.",
        "Look at nodeSelector, tolerations and constraints, if that is not meant.",
    ),
    "NameTaken": Told(
        (SERVICE,),
        "Somebody else's Service or PodDisruptionBudget has its name.",
        "Delete that, or rename one of them.",
    ),
    "InstancesFailing": Told(
        (SERVICE,), "Instances crash.", "The message has the cause; `kubectl logs --previous`."
    ),
    "RestartBackoff": Told(
        (SERVICE,), "After failures the next pod waits for its time.", "Mend the template."
    ),
    "PredecessorThere": Told(
        (SERVICE,),
        "An instance with a volume of its own waits until the pod or claim before it has gone.",
        "Where its node is switched off for good, delete the node.",
    ),
    "ClaimForOnePod": Told(
        (SERVICE,),
        "Several instances are wanted, and the template mounts a ReadWriteOncePod claim, which one "
        "pod at a time can use.",
        "Set `replicas` to 1, or use `volumeClaimTemplates` or a claim with another access mode.",
    ),
    "NodeUnreachable": Told(
        (SERVICE,),
        "Instances stand on nodes that do not answer; they are replaced after "
        "`unreachable.replaceAfterSeconds`.",
        "Look at the nodes.",
    ),
    "RollingOut": Told((SERVICE,), "Instances of older templates are being replaced."),
    "InstancesStarting": Told((SERVICE,), "Instances are on their way."),
    "InstancesUnready": Told(
        (SERVICE,),
        "An instance runs and is not ready: its kubelet says that a probe fails, or a readiness "
        "gate is not true.",
        "The message has the probe's answer, or the gate and what its controller says of it.",
    ),
    "InstancesStopping": Told((SERVICE,), "The last instances stop."),
    "RolledOut": Told((SERVICE,), "Every instance has the newest template."),
    "RolledBack": Told(
        (SERVICE,),
        "The newest template was given up, the one before runs.",
        "The message has the cause; apply another template, or `bayplan restart` to try again.",
    ),
    "StepReached": Told(
        (SERVICE,),
        "A share of the instances has the new template; the next step waits.",
        "`bayplan rollout promote SERVICE` when all is well.",
    ),
    "VolumeOnLeavingNode": Told(
        (SERVICE,),
        "The update waits: what has the old template could not start again, because its volume "
        "exists on one node only, which lets no pod in.",
        "Uncordon the node, or evict the pod.",
    ),
    "ProgressDeadlineExceeded": Told(
        (SERVICE,),
        "The update got no further for `progressDeadlineSeconds`.",
        "The message has what held it up.",
    ),
    "MassLossBrake": Told(
        (SERVICE,),
        "Many nodes fell silent at once: nothing is replaced, moved or taken away.",
        "It ends by itself; or set `bayplan.dev/ignore-mass-loss` to `true` on the service.",
    ),
    "WaitingForDependencies": Told(
        (SERVICE,), "Services that `dependsOn` names are not ready; the wait has an end."
    ),
    "DependencyCycle": Told((SERVICE,), "`dependsOn` leads in a circle.", "Take one of them out."),
    "MinimumHealthy": Told((SERVICE,), "At least the healthy minimum is available."),
    "BelowMinimumHealthy": Told(
        (SERVICE,), "Fewer than the healthy minimum are available.", "`Ready` says why."
    ),
    "Placing": Told((SERVICE,), "Instances get a node."),
    "Advise": Told(
        _POOL, "The mode is Advise: nothing is bought.", "`spec.mode: Buy` changes that."
    ),
    "Advises": Told(_POOL, "The status says what would be bought; nothing else is written."),
    "AsExpected": Told(_POOL, "Nothing works less well than it should."),
    "Buys": Told(_POOL, "Nodes are bought when pods need them."),
    "BuysAndConsolidates": Told(
        _POOL, "Nodes are bought when pods need them, and pods move so that fewer are needed."
    ),
    "ApiDegraded": Told(
        _POOL,
        "The API server does not do all that it is asked: no move of a pod begins.",
        "Mend what the message names.",
    ),
    "MovesForbidden": Told(
        _POOL,
        "A field of `spec.consolidation` is 0, so that no pod is moved; nodes are given back as "
        "their pods leave by themselves.",
        "Raise the field that the message names, if pods are to be moved.",
    ),
    "MovesSpent": Told(
        _POOL,
        "As many pods moved within the last hour as `maximumMovesPerHour` allows.",
        "Wait, or raise `spec.consolidation.maximumMovesPerHour`.",
    ),
    "NodesLeave": Told(_POOL, "Nodes close or are being emptied, so that they can be given back."),
    "NodesSilent": Told(
        _POOL,
        "Many nodes fell silent at once: no move of a pod begins.",
        "It ends by itself when the nodes answer or are gone; look at the nodes.",
    ),
    "OutsideWindows": Told(
        _POOL,
        "No window of `spec.consolidation.windows` is open: no move of a pod begins.",
        "Wait for the next window, which the message has, or add another.",
    ),
    "Planning": Told(_POOL, "The first plan for moves is being made."),
    "PodsWait": Told(_POOL, "Pods wait for room, and come first: no move of a pod begins."),
    "Settled": Told(_POOL, "No plan saves enough to be worth its moves."),
    "Conflict": Told(
        _POOL,
        "Another Pool is the default already: nobody tolerates the taint of this one by itself.",
        "Set `spec.default` to false in one of the two.",
    ),
    "Idle": Told(_POOL, "No pod waits for a node of the Pool."),
    "AllFit": Told(_POOL, "Nodes are bought in all Auto Scaling groups of the Pool."),
    "AutoscalerToo": Told(
        _POOL,
        "A group has the tag for the Cluster Autoscaler; nothing is bought in it.",
        "Remove the tag `k8s.io/cluster-autoscaler/enabled`.",
    ),
    "Deleting": Told(_POOL, "An Auto Scaling group is being deleted; nothing is bought in it."),
    "Doubled": Told(
        _POOL,
        "Another group has the same type, zone and capacity type; nothing is bought in this one.",
        "Raise the size of the other group, and delete this one.",
    ),
    "GroupsMissing": Told(
        _POOL,
        "No Auto Scaling group has the tag of the Pool.",
        "Tag the groups with the Pool's name, or correct `spec.autoScalingGroups.tag`.",
    ),
    "GroupsUnfit": Told(
        _POOL,
        "No Auto Scaling group of the Pool is fit to buy in.",
        "The message names each group and what to mend.",
    ),
    "GroupsUnknown": Told(
        _POOL,
        "AWS does not describe the Auto Scaling groups.",
        "Mend what the message names: often a right of the operator's role, or its region.",
    ),
    "LabelsDiffer": Told(
        _POOL,
        "Groups of one type have tags for other labels or taints; nothing is bought in the second.",
        "Make the tags alike, or make another Pool.",
    ),
    "NoInstanceType": Told(
        _POOL,
        "The launch template of a group names no instance type; nothing is bought in it.",
        "Name one.",
    ),
    "NoLaunchTemplate": Told(
        _POOL,
        "A group has a launch configuration; nothing is bought in it.",
        "Give it a launch template.",
    ),
    "Rebalances": Told(
        _POOL,
        "AWS may end instances of a group to balance zones; nothing is bought in it.",
        "Suspend its process AZRebalance.",
    ),
    "SeveralMarkets": Told(
        _POOL,
        "A group launches spot and on demand; nothing is bought in it.",
        "Make a group for each.",
    ),
    "SeveralSizes": Told(
        _POOL,
        "The types of a group differ in CPUs or memory; nothing is bought in it.",
        "Use one type, or types of the same size.",
    ),
    "SeveralZones": Told(
        _POOL,
        "A group has more than one zone; nothing is bought in it.",
        "Make a group for each zone.",
    ),
    "UnknownType": Told(
        _POOL,
        "Nothing is known of the type of a group; nothing is bought in it.",
        "Use a type that the catalogue has.",
    ),
    "Unprotected": Told(
        _POOL,
        "AWS may end instances of a group to make it smaller; nothing is bought in it.",
        "Set `NewInstancesProtectedFromScaleIn`.",
    ),
    "Weighted": Told(
        _POOL,
        "The types of a group have weights; nothing is bought in it.",
        "Remove the weights.",
    ),
    "KarpenterMissing": Told(
        _POOL,
        "The cluster does not serve karpenter.sh/v1.",
        "Install Karpenter 1.1 or newer, or remove `spec.nodePoolRef` to be advised only.",
    ),
    "LabelMissing": Told(
        _POOL,
        "The template of the NodePool, or a node of a group, lacks the label bayplan.dev/pool.",
        "Add it to `spec.template.metadata.labels` of the NodePool, or to the user data.",
    ),
    "LeftAlone": Told(_POOL, "Karpenter leaves the nodes of the NodePool alone."),
    "LimitExceeded": Told(
        _POOL,
        "More exists than a limit allows; none is given back because of that, and none is bought.",
        "Raise the limit, or empty nodes.",
    ),
    "LimitReached": Told(
        _POOL, "The next node would exceed a limit.", "Raise the limit, or free room."
    ),
    "Listing": Told(
        _POOL,
        "The objects of Karpenter, or the Auto Scaling groups, have not been listed yet.",
        "If it stays, grant the right to list them: `pool.enabled` of the chart.",
    ),
    "NoLimits": Told(_POOL, "Neither the Pool nor its NodePool has limits."),
    "NodeClassMissing": Told(
        _POOL,
        "The class that the NodePool names does not exist: Karpenter deletes every order.",
        "Create it, or correct `spec.template.spec.nodeClassRef` of the NodePool.",
    ),
    "NodeClassNotReady": Told(
        _POOL,
        "The class that the NodePool names is not Ready: Karpenter deletes every order.",
        "Its own status says what to mend.",
    ),
    "NodePoolConsolidates": Told(
        _POOL,
        "Karpenter may consolidate the nodes of the NodePool.",
        "Set its `spec.disruption.consolidateAfter` to Never.",
    ),
    "NodePoolDeleting": Told(
        _POOL,
        "The NodePool is being deleted, and its nodes go with it.",
        "Name another NodePool, or delete the Pool.",
    ),
    "NodePoolDisrupts": Told(
        _POOL,
        "Karpenter may replace nodes of the NodePool.",
        'Set its `spec.disruption.budgets` to [{nodes: "0"}].',
    ),
    "NodePoolInvalid": Told(
        _POOL, "The NodePool cannot be read.", "Mend what the message names in the NodePool."
    ),
    "NodePoolMissing": Told(
        _POOL,
        "The NodePool does not exist.",
        "Create it, or correct `spec.nodePoolRef.name`.",
    ),
    "NodePoolNotQuiet": Told(
        _POOL,
        "Karpenter may touch the nodes, so that nothing is bought; `NodePoolQuiet` says how.",
        "Mend what the message names in the NodePool.",
    ),
    "NodePoolStatic": Told(
        _POOL,
        "The NodePool has `replicas`: Karpenter itself keeps that number of nodes.",
        "Name a NodePool without `spec.replicas`.",
    ),
    "NodePoolUnknown": Told(_POOL, "The Pool names no NodePool, or it is not known."),
    "NodesOnTheWay": Told(_POOL, "Pods wait for nodes, or nodes are on their way."),
    "NothingToBuy": Told(
        _POOL,
        "Every offering that the NodePool allows was refused lately.",
        "Allow more types, zones or capacity types.",
    ),
    "PriceMissing": Told(
        _POOL,
        "Some types have no price, and are not bought.",
        "Give their prices in a file (`--prices-file`), or leave them out of the NodePool.",
    ),
    "PricesUnknown": Told(
        _POOL,
        "Karpenter's prices and availability cannot be read.",
        "Make its metrics reachable, or set `--karpenter-metrics`.",
    ),
    "TaintMissing": Told(
        _POOL,
        "The template of the NodePool, or a node of a group, lacks the taint bayplan.dev/pool.",
        "Add it to `spec.template.spec.taints` of the NodePool, or to the user data.",
    ),
    "WithinLimits": Told(_POOL, "Another node is within all limits."),
    "WritesRefused": Told(
        _POOL,
        "The API server refuses a write for the Pool; it is tried again.",
        "Mend what the message names.",
    ),
}

Row = tuple[str, ...]


def event_rows() -> Iterable[Row]:
    told = dict(EVENTS)
    for word, type_ in AS_CONDITIONS.items():
        kinds = _OF_JOBS.get(word, (SERVICE,))
        told[word] = replace(CONDITIONS[word], kinds=kinds, type=type_)
    for word, one in sorted(told.items()):
        yield f"`{word}`", one.type, ", ".join(one.kinds), one.meaning, one.remedy


def condition_rows() -> Iterable[Row]:
    for word, one in sorted(CONDITIONS.items()):
        yield f"`{word}`", ", ".join(one.kinds), one.meaning, one.remedy


def refusal_rows() -> Iterable[Row]:
    """In the order in which nodes are charged."""
    for one in Refusal:
        yield f"`{one.value}`", one.words
