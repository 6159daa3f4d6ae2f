package aws

import (
	"fmt"
)

// addressKinds are public IPs and what holds them.
func addressKinds() []kind {
	return []kind{
		{
			Token: eipKind, Prefix: "eipalloc-", NotFound: "InvalidAllocationID.NotFound", Tagged: true,
			Replace: []string{"address", "customerOwnedIpv4Pool", "domain", "ipamPoolId", "networkBorderGroup", "publicIpv4Pool"},
			Refs:    []ref{{Path: "ipamPoolId", Kinds: []string{poolKind}}},
			Rules:   []func(*tx, *object, *object) error{eipQuota, eipBrought},
			Outputs: func(tx *tx, o, old *object) {
				if old != nil {
					return
				}
				if o.String("address") != "" {
					o.Props["publicIp"] = o.String("address")
				} else {
					o.Props["publicIp"] = tx.NextPublicIP()
				}
				o.Props["allocationId"] = o.ID
				o.Props["domain"] = "vpc"
				if o.String("publicIpv4Pool") == "" {
					o.Props["publicIpv4Pool"] = "amazon"
				}
				o.Props["networkBorderGroup"] = tx.Region
				o.Props["associationId"], o.Props["networkInterface"], o.Props["privateIp"] = "", "", ""
			},
		},
		{
			Token: associationKind, Prefix: "eipassoc-", NotFound: "InvalidAssociationID.NotFound",
			Replace: []string{"allocationId", "allowReassociation", "instanceId", "networkInterfaceId", "privateIpAddress", "publicIp"},
			Refs: []ref{
				{Path: "allocationId", Kinds: []string{eipKind}},
				{Path: "networkInterfaceId", Kinds: []string{interfaceKind}},
				{Path: "instanceId", Kinds: []string{instanceKind}},
			},
			Rules:   []func(*tx, *object, *object) error{associationRule},
			Outputs: associationOutputs,
			Delete:  disassociate,
		},
		{
			Token: natKind, Prefix: "nat-", NotFound: "InvalidNatGatewayID.NotFound", Tagged: true,
			Defaults: props{"connectivityType": "public"},
			Replace:  []string{"allocationId", "connectivityType", "privateIp", "subnetId"},
			Sets:     []string{"secondaryAllocationIds", "secondaryPrivateIpAddresses"},
			Refs: []ref{
				{Path: "allocationId", Kinds: []string{eipKind}},
				{Path: "secondaryAllocationIds[*]", Kinds: []string{eipKind}},
				{Path: "subnetId", Kinds: []string{subnetKind}},
			},
			Legal:   natLegal,
			Rules:   []func(*tx, *object, *object) error{natAddresses, natPlace, natPrivateIPs},
			Outputs: natOutputs,
			After:   natAfter,
			Delete: func(tx *tx, o *object) error {
				for _, id := range natAllocations(o) {
					disown(tx, id)
				}
				return nil
			},
		},
	}
}

// poolKinds are where addresses come from.
func poolKinds() []kind {
	return []kind{
		{
			Token: poolKind, Prefix: "ipam-pool-", NotFound: "InvalidIpamPoolId.NotFound", Tagged: true,
			Replace: []string{"addressFamily", "awsService", "ipamScopeId", "locale", "publicIpSource", "publiclyAdvertisable", "sourceIpamPoolId"},
			Refs:    []ref{{Path: "sourceIpamPoolId", Kinds: []string{poolKind}}},
		},
		{
			Token: "aws:ec2/vpcIpamPoolCidr:VpcIpamPoolCidr", ID: joined("_", "cidr", "ipamPoolId"),
			Replace: []string{"cidr", "cidrAuthorizationContext", "ipamPoolId", "netmaskLength"},
			Refs:    []ref{{Path: "ipamPoolId", Kinds: []string{poolKind}}},
		},
		{Token: "aws:ec2/vpcIpam:VpcIpam", Prefix: "ipam-", Tagged: true, Outputs: func(_ *tx, o, _ *object) {
			o.Props["publicDefaultScopeId"], o.Props["privateDefaultScopeId"] = "ipam-scope-"+suffix("public"+o.ID), "ipam-scope-"+suffix("private"+o.ID)
		}},
	}
}

// eipQuota is L-0263D0A3; addresses of one's own do not count.
func eipQuota(tx *tx, o, old *object) error {
	if old != nil || brought(o) {
		return nil
	}
	limit, have := tx.Settings.EIPs, 0
	if limit == 0 {
		limit = 5
	}
	for _, other := range tx.All(eipKind) {
		if !brought(other) {
			have++
		}
	}
	if have >= limit && !tx.Settings.Lenient {
		return fmt.Errorf("AddressLimitExceeded: the maximum number of addresses has been reached: %d of %d", have, limit)
	}
	return nil
}

func brought(o *object) bool {
	pool := o.String("publicIpv4Pool")
	return pool != "" && pool != "amazon"
}

func eipBrought(tx *tx, o, old *object) error {
	address := o.String("address")
	if old != nil || address == "" {
		return nil
	}
	if _, released := tx.Released[address]; released {
		return fmt.Errorf("InvalidAddress.NotFound: %s cannot be recovered", address)
	}
	if other := tx.By(eipKind, "publicIp", address); other != nil {
		return fmt.Errorf("AuthFailure: the address %s is %s already", address, other.ID)
	}
	return nil
}

// owner is what holds an EIP, nil if nothing does.
func owner(tx *tx, allocation string) *object {
	for _, o := range tx.All(natKind, associationKind) {
		ids := []string{o.String("allocationId")}
		if o.Type == natKind {
			ids = natAllocations(o)
		}
		for _, id := range ids {
			if id == allocation {
				return o
			}
		}
	}
	return nil
}

// own and disown keep an EIP's own view of who has it.
func own(tx *tx, allocation, association, networkInterface, privateIP string) {
	if eip := tx.Find(eipKind, allocation); eip != nil {
		eip.Props["associationId"], eip.Props["networkInterface"], eip.Props["privateIp"] = association, networkInterface, privateIP
	}
}

// disassociate frees the address of an association that goes.
func disassociate(tx *tx, o *object) error {
	disown(tx, o.String("allocationId"))
	return nil
}

func disown(tx *tx, allocation string) { own(tx, allocation, "", "", "") }

func associationRule(tx *tx, o, _ *object) error {
	allocation := o.String("allocationId")
	holder := owner(tx, allocation)
	reassociate, set := o.Props["allowReassociation"].(bool)
	switch {
	case holder == nil || holder.ID == o.ID:
	case holder.Type == natKind:
		return fmt.Errorf("InvalidIPAddress.InUse: %s is used by NAT gateway %s", allocation, holder.ID)
	case set && !reassociate:
		return fmt.Errorf("Resource.AlreadyAssociated: %s is associated by %s", allocation, holder.ID)
	default:
		tx.Cut = append(tx.Cut, fmt.Sprintf("%s was taken from %s", allocation, holder.String("networkInterfaceId")))
		tx.Remove(holder)
	}
	return associationPlace(tx, o)
}

// associationPlace checks the interface and which of its addresses the Elastic IP goes to.
func associationPlace(tx *tx, o *object) error {
	networkInterface := tx.Find(interfaceKind, o.String("networkInterfaceId"))
	if networkInterface == nil {
		return nil
	}
	address := o.String("privateIpAddress")
	if address == "" {
		address = networkInterface.String("privateIp")
		o.Props["privateIpAddress"] = address
	}
	if !contains(privateIPs(networkInterface), address) {
		return fmt.Errorf("InvalidParameterValue: the address %s does not belong to %s", address, networkInterface.ID)
	}
	for _, other := range tx.All(associationKind) {
		if other.ID != o.ID && other.String("networkInterfaceId") == networkInterface.ID && other.String("privateIpAddress") == address {
			return fmt.Errorf("Resource.AlreadyAssociated: %s of %s has %s already", address, networkInterface.ID, other.String("allocationId"))
		}
	}
	return nil
}

func associationOutputs(tx *tx, o, _ *object) {
	if eip := tx.Find(eipKind, o.String("allocationId")); eip != nil {
		o.Props["publicIp"] = eip.String("publicIp")
	}
	own(tx, o.String("allocationId"), o.ID, o.String("networkInterfaceId"), o.String("privateIpAddress"))
}
