"""Rules about attempts and runs of BatchJobs: P1–P7, P10."""

from collections.abc import Iterable

from tests.audit import readings
from tests.audit.verdicts import Verdicts
from tests.audit.world import Known, Object, World

LATE_SECONDS = 20  # a slot younger than this may still be on its way
_GROUP = "bayplan.dev"


class Runs:
    """Judges an attempt when it is created, and from time to time what a job says of its runs."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world, self._verdicts = world, verdicts

    def born(self, pod: Object, uid: str, at: float) -> None:
        """P2–P7 when an attempt is created."""
        run, _, slot = readings.run_of(pod)
        others = [
            self._world.pods[other]
            for other in self._world.owned[uid]
            if other != readings.uid(pod)
        ]
        others = [one for one in others if not self._world.was_given_up(one, at)]
        mates = [one for one in others if readings.run_of(one.now)[0] == run]
        self._judge_mates(pod, mates)
        specs = self._world.specs.get(uid, [])
        if not specs:
            return
        self._judge_retry(pod, mates, specs)
        self._judge_parents(pod, uid, specs)
        if all(spec.get("concurrencyPolicy", "Forbid") == "Forbid" for spec in specs):
            for other in others:
                if readings.whole_run(other.now) != readings.whole_run(pod) and self._world.runs(
                    other
                ):
                    name = other.now["metadata"]["name"]
                    self._verdicts.wrong("P4", pod, f"begins while {name} of the same job runs")
        if slot is not None and readings.is_scheduled(pod):
            self._judge_slot(pod, uid, slot, specs)

    def _judge_mates(self, pod: Object, mates: Iterable[Known]) -> None:
        """P2 and P6 among the attempts of one run."""
        metadata = pod["metadata"]
        run, attempt, _ = readings.run_of(pod)
        same_name = self._world.names[metadata["namespace"], metadata["name"]][:-1]
        if any(readings.has_begun(self._world.pods[other].now) for other in same_name):
            self._verdicts.wrong("P2", pod, "ran before under the same name: a doubled run")
        for mate in mates:
            if mate.now["metadata"]["name"] == metadata["name"]:
                continue
            if mate.now["status"].get("phase") == "Succeeded":
                self._verdicts.wrong("P6", pod, f"attempt {attempt} of run {run} after a success")
            elif self._world.runs(mate):
                self._verdicts.wrong(
                    "P2", pod, f"run {run} has a second attempt beside a running one"
                )

    def _judge_slot(self, pod: Object, uid: str, slot: int, specs: list[Object]) -> None:
        created = readings.seconds(pod["metadata"]["creationTimestamp"])
        if created < slot:
            self._verdicts.wrong("P3", pod, f"began {slot - created} s before its slot")
        born = readings.seconds(self._world.owners[uid].now["metadata"]["creationTimestamp"])
        due = [readings.due(spec, born, slot) for spec in specs]
        if all(slots is not None and slot not in slots for slots in due):
            self._verdicts.wrong("P7", pod, f"slot {slot} is not one of the schedule's")

    def _judge_retry(self, pod: Object, mates: Iterable[Known], specs: list[Object]) -> None:
        failed = [mate.now for mate in mates if readings.counts_as_failure(mate.now)]
        policies = [spec.get("retryPolicy", {}) for spec in specs]
        limit = max(policy.get("limit", 2) for policy in policies)
        if len(failed) > limit:
            self._verdicts.wrong(
                "P6", pod, f"a retry after {len(failed)} failures; the limit is {limit}"
            )
        delay = min(
            min(policy.get("delaySeconds", 60), policy.get("maxDelaySeconds", 3600))
            for policy in policies
        )
        ends = [end for end in map(readings.ended_at, failed) if end is not None]
        created = readings.seconds(pod["metadata"]["creationTimestamp"])
        if ends and created < max(ends) + delay:
            self._verdicts.wrong(
                "P6", pod, f"a retry {created - max(ends)} s after a failure, not {delay}"
            )

    def _judge_parents(self, pod: Object, uid: str, specs: list[Object]) -> None:
        """P5: a child runs after all its parents succeeded, once for each set of successes."""
        child = self._world.owners[uid]
        if not (readings.is_of_parents(pod) and child.whole and len(specs) == 1):
            return
        mine = {readings.whole_run(self._world.pods[one].now) for one in self._world.owned[uid]}
        namespace = pod["metadata"]["namespace"]
        for parent in specs[0].get("parents", ()):
            known = [
                one
                for one in self._world.owners.values()
                if one.now["kind"] == "BatchJob"
                and one.now["metadata"]["namespace"] == namespace
                and one.now["metadata"]["name"] == parent["name"]
            ]
            if not known or any(not one.whole or readings.is_lenient(one.now) for one in known):
                continue
            succeeded = {
                readings.whole_run(self._world.pods[run].now)
                for one in known
                for run in self._world.owned.get(readings.uid(one.now), ())
                if self._world.pods[run].now["status"].get("phase") == "Succeeded"
            }
            if len(mine) > len(succeeded):
                ran = f"run {len(mine)} after {len(succeeded)} successes"
                self._verdicts.wrong("P5", pod, f"{ran} of its parent {parent['name']}")

    def judge(self, uid: str, job: Object, wall: float) -> None:
        """P1 and P10 of a job that is there."""
        self._judge_slots(uid, job, wall)
        self._judge_counts(uid, job, wall)

    def _judge_slots(self, uid: str, job: Object, wall: float) -> None:
        """P1 and P10: every slot that is due has a run, or is reported as missed."""
        specs = self._world.specs[uid]
        spec, status = job["spec"], job.get("status", {})
        schedules = {(one.get("schedule"), one.get("timeZone", "UTC")) for one in specs}
        if len(schedules) > 1 or any(one.get("suspend") for one in specs):
            return
        if (
            status.get("active")
            or readings.is_leaving(job)
            or readings.condition(job, "Ready") == "False"
        ):
            return
        if f"{_GROUP}/paused-until" in job["metadata"].get("annotations", {}):
            return
        born = readings.seconds(job["metadata"]["creationTimestamp"])
        due = readings.due(spec, born, int(wall) - LATE_SECONDS)
        if due is None:
            return
        run = {
            readings.run_of(self._world.pods[one].now)[2] for one in self._world.owned.get(uid, ())
        }
        without = sorted(due - run)
        missed = status.get("statistics", {}).get("missed", 0)
        if len(without) > missed:
            self._verdicts.wrong(
                "P1", job, f"no run and no report of slots {without}; missed: {missed}"
            )

    def _judge_counts(self, uid: str, job: Object, wall: float) -> None:
        """P10: as many successes are counted as there were."""
        status = job.get("status", {})
        told = status.get("statistics", {}).get("successes", 0)
        if readings.is_lenient(job):
            return
        tasks: dict[tuple[str, int], dict[str, int]] = {}  # run, attempt of a gang -> task -> end
        ends: dict[str, int] = {}
        for one in self._world.owned.get(uid, ()):
            pod = self._world.pods[one].now
            if pod["status"].get("phase") == "Succeeded":
                notes = pod["metadata"].get("annotations", {})
                task, attempt, _ = readings.run_of(pod)
                together = attempt if f"{_GROUP}/gang" in notes else 0
                known = tasks.setdefault((readings.whole_run(pod), together), {})
                known[task] = readings.ended_at(pod) or int(wall)
                if len(known) == int(notes.get(f"{_GROUP}/tasks", "1")):
                    ends[readings.whole_run(pod)] = max(known.values())
        settled = sum(wall - end > LATE_SECONDS for end in ends.values())
        if not settled <= told <= len(ends):
            self._verdicts.wrong(
                "P10", job, f"{told} successes counted, {len(ends)} pods succeeded"
            )
        for entry in status.get("history", ()):
            if entry.get("outcome") == "Failed" and entry.get("run") in ends:
                self._verdicts.wrong(
                    "P10", job, f"run {entry['run']} succeeded and is called Failed"
                )
