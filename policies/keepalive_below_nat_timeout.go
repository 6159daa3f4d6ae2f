package main

import (
	"fmt"
	"time"
)

const destinationRuleType = "kubernetes:networking.istio.io/v1:DestinationRule"

// natTimeout is how long the NAT gateway and the network load balancer of AWS keep an idle connection. Amazon VPC user guide, NAT
// gateways troubleshooting, 2023-06-15.
const natTimeout = 350 * time.Second

// keepaliveBelowNatTimeout wants idle connections to be kept alive or closed before the way out forgets them.
var keepaliveBelowNatTimeout = policy{
	name: "keepalive-below-nat-timeout", level: mandatory,
	description: "TCP keepalive of the mesh is below the idle timeout of the NAT, and Cloud NAT's idle timeout is not below it.",
	types:       []string{destinationRuleType, routerNatType},
	resource: func(j *judge, r resource) {
		if r.kind == routerNatType {
			idle := r.inputs.at("tcpEstablishedIdleTimeoutSec")
			if idle.found && !idle.unknown() && idle.number() < natTimeout.Seconds() {
				j.violates(r, idle, fmt.Sprintf("must be at least %.0f seconds, which our keepalives count on", natTimeout.Seconds()), "raise it; the default is 1200")
			}
			return
		}
		interval := r.inputs.at("spec", "trafficPolicy", "connectionPool", "tcp", "tcpKeepalive", "time")
		if !j.sees(r, interval, "set it to 300s: the kernel's own is two hours") {
			return
		}
		if d, err := time.ParseDuration(interval.text()); err != nil || d <= 0 || d >= natTimeout {
			j.violates(r, interval, fmt.Sprintf("must be below %v", natTimeout), "set it to 300s")
		}
	},
}
