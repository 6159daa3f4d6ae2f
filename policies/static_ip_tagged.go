package main

// staticIPTagged wants every public IP to say whose it is, so that a stranger in the account does not take it for a leftover.
var staticIPTagged = policy{
	name: "static-ip-tagged", level: mandatory,
	description: "Public IPs carry their stack, kind and slot as tags or labels.",
	types:       []string{eipType, gcpAddressType},
	resource: func(j *judge, ip resource) {
		if internalAddress(ip) {
			return
		}
		place, separator := "tags", ":"
		if ip.kind == gcpAddressType {
			place, separator = "labels", "-"
		}
		for _, key := range []string{"stack", "kind", "slot"} {
			tag := ip.inputs.at(place, "sallyport"+separator+key)
			if j.sees(ip, tag, "add it, so that everybody sees whose this IP is") && tag.text() == "" {
				j.violates(ip, tag, "must not be empty", "write the "+key)
			}
		}
	},
}
