package awsalarms

import (
	"fmt"
	"math"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
)

const (
	// natNamespace has the gateways' metrics, one value a minute. Amazon VPC user guide, "NAT gateway metrics and dimensions", 2023-06-15.
	natNamespace = "AWS/NATGateway"
	// fleetNamespace has the proxies'; proxyimage/agent/cloudwatch.
	fleetNamespace = "Sallyport"
	// replaceMinutes is how long a slot may be without a ready proxy besides the drain: its instance is replaced within that time.
	replaceMinutes = 5
	// dropShare is the share of dropped packets in percent above which AWS advises to ask its support. Same page.
	dropShare = 0.01
)

// What CloudWatch does about a minute without a value.
const (
	missingIsFine  = "notBreaching"
	missingIsAlarm = "breaching"
)

// metric is one metric in an alarm.
type metric struct {
	namespace, name, statistic string
	dimensions                 pulumi.StringMap
}

// alarm is one alarm: a metric, or an expression over several that are called m1, m2 and so on, against a threshold for so many of
// the last minutes.
type alarm struct {
	key         string // unique in the stack and stable: kind and zone, slot or destination
	description string
	metrics     []metric
	expression  string
	below       bool
	threshold   float64
	minutes, of int
	missing     string
}

func (a alarm) comparison() string {
	if a.below {
		return "LessThanThreshold"
	}
	return "GreaterThanThreshold"
}

// queries are the metrics and the expression over them.
func (a alarm) queries() cloudwatch.MetricAlarmMetricQueryArray {
	var queries cloudwatch.MetricAlarmMetricQueryArray
	for i, m := range a.metrics {
		queries = append(queries, cloudwatch.MetricAlarmMetricQueryArgs{
			Id: pulumi.Sprintf("m%d", i+1),
			Metric: cloudwatch.MetricAlarmMetricQueryMetricArgs{
				Namespace: pulumi.String(m.namespace), MetricName: pulumi.String(m.name), Stat: pulumi.String(m.statistic),
				Period: pulumi.Int(60), Dimensions: m.dimensions,
			},
		})
	}
	return append(queries, cloudwatch.MetricAlarmMetricQueryArgs{
		Id: pulumi.String("result"), Expression: pulumi.String(a.expression), Label: pulumi.String(a.key), ReturnData: pulumi.Bool(true),
	})
}

// alarms are all alarms of the stack.
func (args *AlarmsArgs) alarms() []alarm {
	var all []alarm
	for _, g := range args.Gateways {
		all = append(all, args.gatewayAlarms(g)...)
	}
	if len(args.Slots) == 0 {
		return all
	}
	for _, s := range args.Slots {
		all = append(all, args.slotAlarms(s)...)
	}
	for _, m := range args.Plan.Margins {
		if m.Via == capacity.ViaProxy {
			all = append(all, args.destinationAlarm(m))
		}
	}
	return append(all, args.routesAlarms()...)
}

// gatewayAlarms watch one NAT gateway.
func (args *AlarmsArgs) gatewayAlarms(g Gateway) []alarm {
	of := func(name, statistic string) metric {
		return metric{natNamespace, name, statistic, pulumi.StringMap{"NatGatewayId": g.ID.ToStringOutput()}}
	}
	ips := args.Plan.Nat.IPsPerZone
	ports, attempts := ips*capacity.PortsPerGatewayIP, ips*capacity.RatePerGatewayIP*60
	return []alarm{
		{
			key: "nat-exhausted-" + g.Zone, threshold: 0, minutes: 1, of: 1, missing: missingIsFine,
			metrics:     []metric{of("ErrorPortAllocation", "Sum")},
			description: fmt.Sprintf("The NAT gateway in %s found no port for new connections: they fail. Run `sallyport doctor --stack %s`; raise the demand in the stack file, or route the busiest destination through the proxies.", g.Zone, args.Stack),
		}, {
			key: "nat-connections-" + g.Zone, threshold: math.Floor(args.Share * float64(ports)), minutes: 3, of: 5, missing: missingIsFine,
			metrics:     []metric{of("ActiveConnectionCount", "Maximum")},
			description: fmt.Sprintf("The NAT gateway in %s has more connections than %g of what %d IPs hold for one destination, %d. AWS counts all destinations together, so no single one can be above this yet.", g.Zone, args.Share, ips, ports),
		}, {
			key: "nat-rate-" + g.Zone, threshold: math.Floor(args.Share * float64(attempts)), minutes: 3, of: 5, missing: missingIsFine,
			metrics:     []metric{of("ConnectionAttemptCount", "Sum")},
			description: fmt.Sprintf("The NAT gateway in %s sees more new connections a minute than %g of what %d IPs take for one destination, %d. AWS counts all destinations together.", g.Zone, args.Share, ips, attempts),
		}, {
			key: "nat-drops-" + g.Zone, threshold: dropShare, minutes: 5, of: 5, missing: missingIsFine,
			metrics:     []metric{of("PacketsDropCount", "Sum"), of("PacketsInFromSource", "Sum"), of("PacketsInFromDestination", "Sum")},
			expression:  "100 * m1 / (m2 + m3)",
			description: fmt.Sprintf("The NAT gateway in %s drops more than %g %% of its packets. AWS's own advice is to look at its health page and to ask its support.", g.Zone, dropShare),
		},
	}
}

func (args *AlarmsArgs) slotMetric(slot, name, statistic string) metric {
	return metric{fleetNamespace, name, statistic, pulumi.StringMap{"Stack": pulumi.String(args.Stack), "Slot": pulumi.String(slot)}}
}

// slotAlarms watch one proxy.
func (args *AlarmsArgs) slotAlarms(s Slot) []alarm {
	patience := replaceMinutes + (args.DrainSeconds+59)/60
	missing, more := missingIsFine, ""
	if s.Always {
		missing, more = missingIsAlarm, ", or says nothing"
	}
	return []alarm{
		{
			key: "unhealthy-" + s.Name, below: true, threshold: 1, minutes: patience, of: patience, missing: missing,
			metrics:     []metric{args.slotMetric(s.Name, "Ready", "Minimum")},
			description: fmt.Sprintf("%s is not ready for clients%s. Its log is the stream of that name in /sallyport/%s; the group sallyport-%s-%s shows what became of its instances.", s.Name, more, args.Stack, args.Stack, s.Name),
		}, {
			key: "load-" + s.Name, threshold: args.Share, minutes: 3, of: 5, missing: missingIsFine,
			metrics:    []metric{args.slotMetric(s.Name, "Connections", "Maximum"), args.slotMetric(s.Name, "ConnectionsPerSecond", "Maximum")},
			expression: fmt.Sprintf("MAX([m1/%d, m2/%s])", args.MaxConnections, strconv.FormatFloat(args.ConnectionsPerSecond, 'f', -1, 64)),
			description: fmt.Sprintf("%s carries more than %g of what a proxy is planned for: %d connections held, %g new ones a second. Raise the demand in the stack file to what it is and apply.",
				s.Name, args.Share, args.MaxConnections, args.ConnectionsPerSecond),
		},
	}
}

// destinationAlarm watches the ports of one destination, on the busiest source address of the busiest proxy.
func (args *AlarmsArgs) destinationAlarm(m capacity.Margin) alarm {
	at := math.Floor(args.Share * float64(m.Ceiling))
	return alarm{
		key: "ports-" + m.Destination, threshold: at, minutes: 2, of: 3, missing: missingIsFine,
		metrics: []metric{{fleetNamespace, "SourcePortsInUse", "Maximum", pulumi.StringMap{
			"Stack": pulumi.String(args.Stack), "Destination": pulumi.String(m.Destination),
		}}},
		description: fmt.Sprintf("A proxy's IP has more than %.0f ports in use towards %s: %g of its %d. The plan expects %.0f at peak. Raise the demand of %s in the stack file to what it is and apply: the plan adds proxies or IPs.",
			at, m.Destination, args.Share, m.Ceiling, m.Load, m.Destination),
	}
}

// routesAlarms watch whether the proxies go by the document that is published.
func (args *AlarmsArgs) routesAlarms() []alarm {
	of := func(name, statistic string) metric {
		return metric{fleetNamespace, name, statistic, pulumi.StringMap{"Stack": pulumi.String(args.Stack)}}
	}
	return []alarm{
		{
			key: "routes-stale", threshold: 0, minutes: 5, of: 5, missing: missingIsFine,
			metrics:     []metric{of("RoutesProblem", "Maximum")},
			description: "A proxy cannot read the routes document, or refuses it, and goes by the last good one. /readyz of the proxy and its log say why.",
		}, {
			key: "routes-differ", threshold: 0, minutes: 5, of: 5, missing: missingIsFine,
			metrics:     []metric{of("RoutesSerial", "Maximum"), of("RoutesSerial", "Minimum")},
			expression:  "m1 - m2",
			description: "Proxies have gone by different routes documents for five minutes: one of them does not follow. " + "Compare RoutesSerial in their logs.",
		},
	}
}
