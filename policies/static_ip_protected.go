package main

const (
	eipType        = "aws:ec2/eip:Eip"
	gcpAddressType = "gcp:compute/address:Address"
)

// staticIPProtected guards what partners rely on. Exempt are an address that the stack file releases on purpose, and one that was brought:
// it belongs to somebody else and is only read.
var staticIPProtected = policy{
	name: "static-ip-protected", level: mandatory,
	description: "Public IPs are protected against deletion.",
	stack: func(j *judge, all stack) {
		exempt := exemptNames(all)
		for _, ip := range all.of(eipType, gcpAddressType) {
			if internalAddress(ip) || ip.protect || exempt[addressName(ip)] {
				continue
			}
			j.report(ip.urn, ip.name+": protect: must be true, got false; set it: a partner who lists this IP would be cut off by its loss")
		}
	},
}

// internalAddress says whether an address is private to a network.
func internalAddress(r resource) bool {
	return r.kind == gcpAddressType && r.inputs.at("addressType").text() == "INTERNAL"
}

// exemptNames are the addresses that components declare as released on purpose, or as brought.
func exemptNames(all stack) map[string]bool {
	exempt := map[string]bool{}
	for _, r := range all {
		for _, address := range r.inputs.at("addresses").items() {
			if address.at("released").yes() || address.at("brought").yes() {
				exempt[address.at("name").text()] = true
			}
		}
	}
	return exempt
}
