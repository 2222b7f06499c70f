"""The main job on a real local cluster, beside what kube-scheduler does with the same pods."""
