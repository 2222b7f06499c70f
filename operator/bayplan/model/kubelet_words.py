"""What a kubelet says of a pod in Events alone: the pod's status has none of it."""

# A probe fails, or a hook after the start: the kubelet ends the container, or keeps it unready.
UNHEALTHY = "Unhealthy"
FAILED_HOOK = "FailedPostStartHook"
OF_RUNNING = frozenset({UNHEALTHY, FAILED_HOOK})
# What no container of the pod can start without: a volume, the sandbox with its network.
OF_STARTING = frozenset(
    {"FailedAttachVolume", "FailedCreatePodSandBox", "FailedMapVolume", "FailedMount"}
)
