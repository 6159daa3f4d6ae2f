package aws

import (
	"fmt"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// maxNatIPs is 1 primary and 7 secondary addresses. VPC user guide, "NAT gateway basics", 2023-06-15.
const maxNatIPs = 8

func natLegal(in props) []string {
	var problems []string
	private := in["connectivityType"] == "private"
	_, has := in["allocationId"]
	if private && has {
		problems = append(problems, "allocationId: a private NAT gateway takes no Elastic IP")
	}
	if !private && !has {
		problems = append(problems, "allocationId: is required with connectivity_type public")
	}
	if _, counted := in["secondaryPrivateIpAddressCount"]; counted && !private {
		problems = append(problems, "secondaryPrivateIpAddressCount: is for private NAT gateways only")
	}
	if list, _ := in["secondaryAllocationIds"].([]any); len(list) > maxNatIPs-1 {
		problems = append(problems, fmt.Sprintf("secondaryAllocationIds: at most %d, got %d", maxNatIPs-1, len(list)))
	}
	return problems
}

// natAllocations are the EIPs of a gateway, the primary one first.
func natAllocations(o *object) []string {
	return append(engine.Values(o.Props, "allocationId"), engine.Values(o.Props, "secondaryAllocationIds[*]")...)
}

func natAddresses(tx *tx, o, _ *object) error {
	limit := tx.Settings.EIPsPerNat
	if limit == 0 {
		limit = 2
	}
	ids := natAllocations(o)
	if len(ids) > min(limit, maxNatIPs) && !tx.Settings.Lenient {
		return fmt.Errorf("AddressLimitExceeded: NAT gateway %s: %d Elastic IPs, the quota L-5F53652F is %d", o.ID, len(ids), min(limit, maxNatIPs))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if holder := owner(tx, id); seen[id] || holder != nil && holder.ID != o.ID {
			return fmt.Errorf("Resource.AlreadyAssociated: Elastic IP %s is in use by %s", id, holderID(holder))
		}
		seen[id] = true
	}
	return nil
}

func natPlace(tx *tx, o, old *object) error {
	subnet := tx.Find(subnetKind, o.String("subnetId"))
	if old != nil || subnet == nil {
		return nil
	}
	if o.String("connectivityType") == "public" && !tx.Settings.Lenient && tx.By(internetKind, "vpcId", subnet.String("vpcId")) == nil {
		return fmt.Errorf("Gateway.NotAttached: network %s has no internet gateway attached", subnet.String("vpcId"))
	}
	zone, limit, have := subnet.String("availabilityZone"), tx.Settings.NatsPerZone, 0
	if limit == 0 {
		limit = 5
	}
	for _, other := range tx.All(natKind) {
		if s := tx.Find(subnetKind, other.String("subnetId")); s.String("availabilityZone") == zone {
			have++
		}
	}
	if have >= limit {
		return fmt.Errorf("NatGatewayLimitExceeded: %d of %d NAT gateways in %s", have, limit, zone)
	}
	return nil
}

func natPrivateIPs(tx *tx, o, _ *object) error {
	wanted := append(engine.Values(o.Inputs, "privateIp"), engine.Values(o.Inputs, "secondaryPrivateIpAddresses[*]")...)
	return freeIn(tx, o, o.String("subnetId"), wanted)
}

func natOutputs(tx *tx, o, old *object) {
	if old == nil {
		o.Props["networkInterfaceId"] = "eni-" + engine.Hex(17)
		o.Props["associationId"] = "eipassoc-" + engine.Hex(17)
		if o.String("privateIp") == "" {
			o.Props["privateIp"] = nextPrivate(tx, o.String("subnetId"))
		}
	}
	if eip := tx.Find(eipKind, o.String("allocationId")); eip != nil {
		o.Props["publicIp"] = eip.String("publicIp")
	}
}

// natAfter tells the addresses whose they are. Taking a secondary one away drains it: EC2 lets its connections live up to 350 s.
func natAfter(tx *tx, o, old *object) error {
	now := natAllocations(o)
	if old != nil {
		for _, id := range natAllocations(old) {
			if !contains(now, id) {
				disown(tx, id)
			}
		}
	}
	for _, id := range now {
		own(tx, id, "eipassoc-"+suffix(o.ID+id), o.String("networkInterfaceId"), o.String("privateIp"))
	}
	return nil
}

func holderID(holder *object) string {
	if holder == nil {
		return "the same gateway"
	}
	return holder.ID
}
