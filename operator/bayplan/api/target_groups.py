"""What a Service's annotations say of the AWS target group that has its pods as targets.

The AWS Load Balancer Controller registers addresses of pods if the target type is `ip`. When a pod
leaves, its target is deregistered some seconds later, and it is sent what belongs to open
connections until the group's deregistration delay is over. With target type `instance` the targets
are nodes, so that no pod is deregistered.
"""

from collections.abc import Mapping

DEFAULT_DELAY_SECONDS = 300  # deregistration_delay.timeout_seconds of a group that states none
MOST_DELAY_SECONDS = 3600
# From a pod's deletion until its target is deregistered: endpoints, the controller and AWS lag.
DEREGISTERING_SECONDS = 15
DELAY = "deregistration_delay.timeout_seconds"
_NLB = "service.beta.kubernetes.io/aws-load-balancer-"
_ALB = "alb.ingress.kubernetes.io/"
_NLB_ATTRIBUTES = f"{_NLB}target-group-attributes"
_ALB_ATTRIBUTES = f"{_ALB}target-group-attributes"


def attributes(annotations: Mapping[str, str], *, load_balancer: bool) -> str | None:
    """Name of the annotation for attributes of a group of pods; None if there is no such group.

    `load_balancer`: the Service is of type LoadBalancer. An Ingress reads its own annotations from
    Services of any type.
    """
    if load_balancer:
        if annotations.get(f"{_NLB}type") == "nlb-ip":
            return _NLB_ATTRIBUTES
        if annotations.get(f"{_NLB}nlb-target-type") == "ip":
            return _NLB_ATTRIBUTES
    return _ALB_ATTRIBUTES if annotations.get(f"{_ALB}target-type") == "ip" else None


def stated_delay(annotations: Mapping[str, str], name: str) -> str | None:
    """The deregistration delay as written in the annotation `name`; None if it states none."""
    for pair in annotations.get(name, "").split(","):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == DELAY:
            return value.strip()
    return None


def delay_seconds(annotations: Mapping[str, str], *, load_balancer: bool) -> int | None:
    """The deregistration delay of the group of pods; None if there is no such group."""
    name = attributes(annotations, load_balancer=load_balancer)
    if name is None:
        return None
    stated = stated_delay(annotations, name)
    return DEFAULT_DELAY_SECONDS if stated is None or not is_delay(stated) else int(stated)


def is_delay(text: str) -> bool:
    """Whether AWS accepts it as a deregistration delay."""
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_DELAY_SECONDS))
    return plain and int(text) <= MOST_DELAY_SECONDS
