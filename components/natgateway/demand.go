package natgateway

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
)

// inputs is what the component records: what the gateways have and what they must carry. A policy can compute from it what the
// plan computed, and a stack that was changed by hand shows.
func (args *Args) inputs() pulumi.Map {
	zones := pulumi.Map{}
	for _, zone := range args.Zones {
		tables := pulumi.StringArray{}
		for _, table := range zone.RouteTables {
			tables = append(tables, pulumi.String(table.Key))
		}
		zones[zone.Name] = pulumi.Map{"ips": pulumi.Int(len(zone.AllocationIDs)), "routeTables": tables}
	}
	margins := map[string]capacity.Margin{}
	for _, margin := range args.Margins {
		margins[margin.Destination] = margin
	}
	demand := args.Demand
	list := pulumi.Array{}
	for _, d := range demand.Destinations {
		if d.Via != capacity.ViaNat {
			continue
		}
		margin := margins[d.Name]
		list = append(list, pulumi.Map{
			"name": pulumi.String(d.Name), "connectionsPerSecond": pulumi.Float64(d.ConnectionsPerSecond),
			"secondsPerConnection": pulumi.Float64(d.SecondsPerConnection), "addresses": pulumi.Int(d.Addresses),
			"load": pulumi.Float64(margin.Load), "ceiling": pulumi.Int(margin.Ceiling), "blocking": pulumi.Float64(margin.Blocking),
		})
	}
	return pulumi.Map{
		"zones": zones,
		"demand": pulumi.Map{
			"flavor": pulumi.String(demand.Flavor), "nodes": pulumi.Int(demand.Nodes), "maxNodes": pulumi.Int(demand.MaxNodes),
			"surgeNodes": pulumi.Int(demand.SurgeNodes), "skew": pulumi.Float64(demand.Skew), "timeWaitSeconds": pulumi.Float64(demand.TimeWait),
			"blockingTarget": pulumi.Float64(demand.Blocking), "maxIPsPerGateway": pulumi.Int(demand.MaxIPs), "destinations": list,
		},
	}
}
