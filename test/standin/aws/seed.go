package aws

import (
	"maps"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Existing is a network that was there before the stack.
type Existing struct {
	Region, VPC, CIDR string
	// Subnets are the blocks by id, and SubnetZones their zones.
	Subnets, SubnetZones map[string]string
	// RouteTables are the ids of route tables without a default route.
	RouteTables []string
	// SecurityGroups are further ids that exist.
	SecurityGroups []string
	// Allocations are Elastic IPs by allocation id, with tags.
	Allocations map[string]map[string]string
}

// Seed puts an existing network into a world.
func Seed(w *world.World, e Existing) error {
	return w.Do(func(state *world.State) error {
		tx := &engine.Tx{State: state, Package: Package(), Region: e.Region}
		put := func(kind, id string, in, out props) {
			o := &object{Type: kind, ID: id, Inputs: in, Props: props{}, Foreign: true}
			maps.Copy(o.Props, in)
			maps.Copy(o.Props, out)
			tx.Package.Common(tx, tx.Package.Kinds[kind], o)
			state.Put(o)
		}
		put(vpcKind, e.VPC, props{"cidrBlock": e.CIDR}, nil)
		put(internetKind, "igw-"+suffix(e.VPC)+"0", props{"vpcId": e.VPC}, nil)
		for id, block := range e.Subnets {
			put(subnetKind, id, props{"vpcId": e.VPC, "cidrBlock": block, "availabilityZone": e.SubnetZones[id]}, nil)
		}
		for _, id := range e.RouteTables {
			put(routeTableKind, id, props{"vpcId": e.VPC}, nil)
		}
		for _, id := range e.SecurityGroups {
			put(securityKind, id, props{"vpcId": e.VPC, "name": id}, nil)
		}
		for id, tags := range e.Allocations {
			all := props{}
			for key, value := range tags {
				all[key] = value
			}
			put(eipKind, id, props{"domain": "vpc", "tags": all, "publicIpv4Pool": "amazon", "networkBorderGroup": e.Region},
				props{"publicIp": state.NextPublicIP(), "allocationId": id, "associationId": "", "networkInterface": "", "privateIp": ""})
		}
		return nil
	})
}
