package main

// natLoggingOn demands that dropped connections leave a trace. AWS NAT gateways have no log of their own.
var natLoggingOn = policy{
	name: "nat-logging-on", level: mandatory,
	description: "Cloud NAT logs at least its errors.",
	types:       []string{routerNatType},
	resource: func(j *judge, nat resource) {
		on, filter := nat.inputs.at("logConfig", "enable"), nat.inputs.at("logConfig", "filter")
		if !j.sees(nat, on, "set logConfig to enable: true, filter: ERRORS_ONLY") {
			return
		}
		if !on.yes() {
			j.violates(nat, on, "must be true", "without it a dropped connection leaves no trace; set it")
		}
		if filter.text() == "TRANSLATIONS_ONLY" {
			j.violates(nat, filter, "must include errors", "set ERRORS_ONLY or ALL")
		}
	},
}
