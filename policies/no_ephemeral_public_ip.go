package main

// noEphemeralPublicIP refuses public IPs that change: no partner can list them, and traffic leaves around the NAT and the fleet.
var noEphemeralPublicIP = policy{
	name: "no-ephemeral-public-ip", level: mandatory,
	description: "Nothing gets a public IP that is not static.",
	types: []string{
		routerNatType, launchTemplateType, instanceType, "aws:ec2/launchConfiguration:LaunchConfiguration", "aws:ec2/eip:Eip", "gcp:compute/instance:Instance",
	},
	resource: func(j *judge, r resource) {
		switch r.kind {
		case routerNatType:
			option := r.inputs.at("natIpAllocateOption")
			if j.sees(r, option, "set MANUAL_ONLY") && option.text() != "MANUAL_ONLY" {
				j.violates(r, option, "must be MANUAL_ONLY", "name the static IPs: automatic ones come and go")
			}
		case launchTemplateType:
			for _, network := range r.inputs.at("networkInterfaces").items() {
				refuseAutomatic(j, r, network.at("associatePublicIpAddress"))
			}
		case "gcp:compute/instance:Instance":
			for _, network := range r.inputs.at("networkInterfaces").items() {
				for _, access := range network.at("accessConfigs").items() {
					if ip := access.at("natIp"); !ip.found {
						j.violates(r, ip, "must name a static IP", "set it, or remove the access configuration")
					}
				}
			}
		default:
			refuseAutomatic(j, r, r.inputs.at("associatePublicIpAddress"))
		}
	},
}

// refuseAutomatic refuses an automatic public IP; the launch template writes the switch as a text.
func refuseAutomatic(j *judge, r resource, f field) {
	if f.yes() || f.text() == "true" {
		j.violates(r, f, "must not be true", "associate a static IP instead")
	}
}
