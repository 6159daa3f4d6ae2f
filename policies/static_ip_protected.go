package main

const (
	eipType        = "aws:ec2/eip:Eip"
	gcpAddressType = "gcp:compute/address:Address"
)

// staticIPProtected guards what partners rely on. An address that the stack file releases on purpose is exempt.
var staticIPProtected = policy{
	name: "static-ip-protected", level: mandatory,
	description: "Public IPs are protected against deletion.",
	stack: func(j *judge, all stack) {
		released := releasedNames(all)
		for _, ip := range all.of(eipType, gcpAddressType) {
			if internalAddress(ip) || ip.protect || released[ip.name] {
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

// releasedNames are the addresses that components declare as released on purpose.
func releasedNames(all stack) map[string]bool {
	released := map[string]bool{}
	for _, r := range all {
		for _, address := range r.inputs.at("addresses").items() {
			if address.at("released").yes() {
				released[address.at("name").text()] = true
			}
		}
	}
	return released
}
