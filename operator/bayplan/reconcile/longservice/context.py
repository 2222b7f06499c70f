"""What one look at a LongService finds out before anything is decided, and what follows from it.

Only facts and yes-or-no questions; `reconcile` and `rollout` decide which pods start or go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model.admission import Admission
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice import (
    claims,
    drift,
    ordinals,
    per_node,
    rollout,
    target,
)
from bayplan.reconcile.longservice.instances import Instances, ordinal
from bayplan.reconcile.longservice.revisions import Revision
from bayplan.reconcile.longservice.status import Reason
from bayplan.reconcile.view import View


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What one look finds out before anything is decided.

    For a service with one instance on each node, `spec.replicas` is the number of those nodes.
    """

    service: Resource
    spec: LongServiceSpec
    pods: Mapping[PodKey, Pod]
    view: View
    now: int
    instances: Instances
    history: Mapping[str, Revision]
    aim: target.Target
    kept: Revision | None
    alive: frozenset[str]  # revisions (ids) that have pods
    limits: rollout.Bounds
    admission: Admission | None  # of the spec's template; None: not known yet
    row: ordinals.Row | None = None  # of instances with identity
    coverage: per_node.Coverage | None = None  # of one instance on each node
    sole: tuple[str, ...] = ()  # claims of the template that only one pod at a time can use
    progress: target.Progress | None = None  # None: nothing to roll out
    unmet: Mapping[str, int] = field(default_factory=dict)  # service it waits for -> until when
    drifted: int | None = None  # instances that break constraints; None: there are none to break
    moves: drift.Moves = drift.NO_MOVES
    braked_until: int | None = None  # many nodes fell silent at once: no pod goes until then

    @property
    def suspended(self) -> bool:
        """Whether the spec itself says `replicas: 0`."""
        stated = self.service.spec
        return isinstance(stated, LongServiceSpec) and stated.replicas == 0

    @property
    def in_place(self) -> bool:
        """Whether an instance goes before its replacement comes."""
        return self.row is not None or self.coverage is not None or bool(self.sole)

    @property
    def update(self) -> Revision:
        """The revision that instances are to have."""
        return self.aim.revision

    @property
    def admitted(self) -> bool:
        """Whether its pods may be made; a template other than the spec's was admitted before."""
        if self.update.template_hash != self.service.template_hash:
            return True
        return self.admission is not None and not self.admission.refusal

    @property
    def sound(self) -> bool:
        """Whether the server accepts the revision, perhaps only once the quota has room.

        An update goes on in that case: the old instances that it may end fill the quota.
        """
        return self.admitted or (self.admission is not None and self.admission.lacks_quota)

    @property
    def crowded_out(self) -> bool:
        """Whether no pod of the revision may be made because the quota is full."""
        return self.sound and not self.admitted

    @property
    def restorable(self) -> bool:
        """Whether the kept revision was rolled out once: then it is known to work."""
        return self.kept is not None and self.kept.name == stored_current(self.service)

    @property
    def making(self) -> Revision | None:
        """The revision to make instances of: the newest, or the kept one while that is refused."""
        return self.update if self.sound else self.kept

    @property
    def outdated(self) -> int:
        """Number of live instances of other revisions."""
        return len(self.instances.live) - updated(self.instances, self.update)

    @property
    def undecided(self) -> bool:
        """Whether a surplus of healthy instances waits for a plan of who leaves.

        Only a service without another trouble waits.
        """
        until, instances = self.view.departures.undecided_until, self.instances
        if until is None or until <= self.now or self.rolling or self.braked_until is not None:
            return False
        trouble = instances.lost or instances.silent or instances.orphaned
        return not trouble and 0 < self.spec.replicas < len(instances.live)

    @property
    def goal(self) -> int:
        """How many instances get the revision for now."""
        rules, replicas = self.spec.update_strategy, self.spec.replicas
        if self.gated:
            return 0
        if self.progress is None or not self._staged:
            return replicas
        goal = target.share(replicas, rules, self.progress.step)
        if not rules.paused:
            return goal
        updated = [
            pod for pod in self.instances.live if pod.labels.get(names.REVISION) == self.update.id
        ]
        # An instance that moves off its node exists twice for a while: that is no progress.
        staying = len(self.instances.split_by_leaving(updated)[0])
        return min(goal, len(updated), max(staying, replicas - self.outdated))

    @property
    def gated(self) -> bool:
        """Whether the first instance of the revision waits for what the service depends on."""
        return bool(self.unmet) or bool(self.view.dependencies.cycle and self.begins)

    @property
    def begins(self) -> bool:
        """Whether the spec's template is to be rolled out but has no instance yet."""
        if self.progress is None or self.update.name != self.aim.asked.name:
            return False
        return not updated(self.instances, self.update)

    @property
    def _staged(self) -> bool:
        """Whether pause and steps apply: when the spec's template replaces another revision."""
        return self.kept is not None and self.update.name == self.aim.asked.name

    @property
    def stranded(self) -> tuple[Pod, ...]:
        """Outdated instances that no update may end: their successors could start nowhere.

        The volume of such an instance exists on its node only, and that node lets no pod in.
        """
        if not self.instances.leaving or not (self.row or self.sole):
            return ()
        return tuple(
            pod
            for pod in self.instances.live
            if pod.key in self.instances.leaving
            and self.instances.revision_of(pod) != self.update.id
            and self._is_bound_to(self.view.nodes[pod.node], pod)
        )

    def _is_bound_to(self, node: Node, pod: Pod) -> bool:
        """Whether a claim of the pod has its volume on this node only."""
        named = self.sole
        if self.row is not None:
            each = claims.named(self.service, self.spec, ordinal(pod.name))
            named = tuple(claim for _, claim in each)
        found = (self.view.claim_of(claim) for claim in named)
        return any(claim is not None and claim.only_on(node) for claim in found)

    @property
    def waits(self) -> str:
        """Why the update is held on purpose; empty when it is not held."""
        if self.braked_until is not None:
            return Reason.MASS_LOSS
        if self.gated:
            return Reason.DEPENDS
        if self.progress is None:
            return ""
        if self.stranded and len(self.stranded) == self.outdated:
            return Reason.NODE_LEAVING
        if not self._staged:
            return ""
        rules = self.spec.update_strategy
        if rules.paused:
            return Reason.PAUSED
        reached = self.progress.reached_at is not None and self.progress.step < len(rules.steps)
        return Reason.STEP_REACHED if reached else ""

    @property
    def rolling(self) -> bool:
        """Whether instances of other revisions are to be replaced, or are still terminating."""
        if not self.sound:
            return False
        return (
            self.goal < self.spec.replicas
            or (self.crowded_out and self.restorable)
            or self.instances.outdated_going
            or any(self.instances.revision_of(pod) != self.update.id for pod in self.instances.live)
        )


def stored_current(service: Resource) -> str:
    current = service.status.get("currentRevision")
    return current if isinstance(current, str) else ""


def updated(instances: Instances, update: Revision) -> int:
    return sum(pod.labels.get(names.REVISION) == update.id for pod in instances.live)
