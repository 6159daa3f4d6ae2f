package natgateway

import (
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
)

// validate reports all problems at once.
func (args *Args) validate(component string) error {
	var list problem.List
	place := "nat gateway " + component + ": "
	if args.Stack == "" {
		list.Add(place+"stack", "is required", nil, "give the stack's name")
	}
	if len(args.Zones) == 0 {
		list.Add(place+"zones", "needs at least 1 zone", 0, "give every zone with private subnets")
	}
	seen := map[string]bool{}
	for i, zone := range args.Zones {
		at := problem.Index(place+"zones", i)
		if seen[zone.Name] || zone.Name == "" {
			list.Add(at+".name", "must be given and unique", zone.Name, "name each zone once")
		}
		seen[zone.Name] = true
		if zone.SubnetID == nil {
			list.Add(at+".subnetId", "is required", nil, "give a public subnet of the zone")
		}
		if n := len(zone.AllocationIDs); n < 1 || n > capacity.MaxIPsPerGateway {
			list.Addf(at+".allocationIds", n, "route hot destinations through proxies", "must be 1 to %d public IPs", capacity.MaxIPsPerGateway)
		}
		tables := map[string]bool{}
		for j, table := range zone.RouteTables {
			if tables[table.Key] || table.Key == "" || table.ID == nil {
				list.Add(problem.Index(at+".routeTables", j), "must have an id and a key that is unique in the zone", table.Key, "list each table once")
			}
			tables[table.Key] = true
		}
	}
	return list.Err()
}
