"""The Service in front of a LongService's instances: ports, type, how instances leave it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from bayplan.api import target_groups
from bayplan.api.meta import DNS_LABEL_RULE, Flag, Integer, Part, crd, rule

_DRAIN_SECONDS = 5  # kube-proxies and balancers that follow endpoints


class ServicePort(Part):
    """A port of the Service."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=crd(validations=[DNS_LABEL_RULE]),
        description="Name of the port, unique in the list.",
    )
    port: Integer = Field(ge=1, le=65_535, description="Number clients connect to.")
    target_port: Annotated[
        int | str | None,
        WithJsonSchema(
            {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "maxLength": 15,
                "minimum": 1,
                "maximum": 65_535,
                **crd(int_or_string=True),
            }
        ),
    ] = Field(
        default=None,
        description="Number, or name of a container's port, on the instance; absent: same as port.",
    )
    protocol: Literal["TCP", "UDP", "SCTP"] = Field(default="TCP", description="Protocol.")
    node_port: Integer | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Number on every node, for NodePort and LoadBalancer; absent: chosen for you.",
    )


class Service(Part):
    """A Service in front of the ready instances, named like the LongService."""

    model_config = ConfigDict(
        json_schema_extra=crd(
            validations=[
                rule(
                    "self.type != 'ClusterIP' || self.ports.all(p, !has(p.nodePort))",
                    "nodePort must be absent with type ClusterIP; remove it or set `type` to "
                    "NodePort or LoadBalancer",
                    fieldPath=".ports",
                ),
                rule(
                    "self.ports.all(p, self.ports.exists_one(q, q.port == p.port && "
                    "q.protocol == p.protocol))",
                    "each port number must appear once for each protocol; remove the second",
                    fieldPath=".ports",
                ),
                rule(
                    "!self.headless || self.type == 'ClusterIP'",
                    "headless must go with type ClusterIP; remove `type` or `headless`",
                    fieldPath=".headless",
                ),
                rule(
                    "!has(self.loadBalancerClass) || self.type == 'LoadBalancer'",
                    "loadBalancerClass must go with type LoadBalancer; set `type` or remove it",
                    fieldPath=".loadBalancerClass",
                ),
                rule(
                    "self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || "
                    "(has(self.loadBalancerClass) ? self.loadBalancerClass : '') == "
                    "(has(oldSelf.loadBalancerClass) ? oldSelf.loadBalancerClass : '')",
                    "loadBalancerClass must stay as it is, since another controller would not "
                    "take over; remove `service`, apply, and add it again",
                    fieldPath=".loadBalancerClass",
                ),
                rule(
                    "self.headless == oldSelf.headless",
                    "headless must stay as it is, since a Service keeps its address; remove "
                    "`service`, apply, and add it again",
                    fieldPath=".headless",
                ),
            ]
        )
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="How it can be reached, as in a Service."
    )
    ports: tuple[ServicePort, ...] = Field(
        min_length=1,
        max_length=16,
        description="Ports of the Service.",
        json_schema_extra=crd(list_type="map", list_map_keys=["name"]),
    )
    headless: Flag = Field(
        default=False,
        description=(
            "No address of its own: its name resolves to the addresses of the ready instances."
        ),
    )
    publish_not_ready_addresses: Flag = Field(
        default=False,
        description=(
            "Its names resolve to instances that are not ready too. Members of a cluster that find "
            "each other by name before they are ready (Kafka, etcd, ZooKeeper) need it."
        ),
    )
    session_affinity: Literal["None", "ClientIP"] = Field(
        default="None",
        description="ClientIP: connections of one client go to one instance, as in a Service.",
    )
    load_balancer_class: str | None = Field(
        default=None,
        min_length=1,
        max_length=317,
        description=(
            "Which controller makes the load balancer of type LoadBalancer, such as "
            "service.k8s.aws/nlb or eks.amazonaws.com/nlb; absent: the cluster's own."
        ),
    )
    drain_seconds: Integer | None = Field(
        default=None,
        ge=0,
        le=3600,
        description=(
            "An instance that is to go serves on for so long before its containers are told to "
            "stop, so that clients and load balancers can turn away: a preStop sleep in each "
            "container that has no preStop of its own. 0: none. Absent: 5; if `annotations` ask "
            "for AWS targets of type ip, their deregistration delay (300 unless stated) and 15 "
            "more."
        ),
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict,
        max_length=64,
        description="Annotations of the Service, for load balancer controllers.",
    )

    @property
    def deregistration_seconds(self) -> int | None:
        """The deregistration delay if instances are AWS targets by their addresses, else None."""
        return target_groups.delay_seconds(
            self.annotations, load_balancer=self.type == "LoadBalancer"
        )

    @property
    def serves_on_seconds(self) -> int:
        """How long an instance that is to go serves on."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        delay = self.deregistration_seconds
        return _DRAIN_SECONDS if delay is None else delay + target_groups.DEREGISTERING_SECONDS
