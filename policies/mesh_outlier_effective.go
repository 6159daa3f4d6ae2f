package main

import "fmt"

// meshOutlierEffective refuses outlier detection that never ejects: with few endpoints Istio's default of 10 % is less than one.
// Envoy 1.31 release notes (always_eject_one_host); Istio DestinationRule, outlierDetection.maxEjectionPercent.
var meshOutlierEffective = policy{
	name: "mesh-outlier-effective", level: mandatory,
	description: "Outlier detection can eject at least one of two endpoints.",
	types:       []string{destinationRuleType},
	resource: func(j *judge, r resource) {
		detection := r.inputs.at("spec", "trafficPolicy", "outlierDetection")
		if !detection.found {
			return // a rule about something else
		}
		percent := detection.at("maxEjectionPercent")
		if j.sees(r, percent, "set it to 100: the default of 10 ejects nothing below 10 endpoints") && percent.number() < 50 {
			j.violates(r, percent, "must be at least 50", "set it to 100")
		}
		if failures := detection.at("consecutiveLocalOriginFailures"); failures.found && !detection.at("splitExternalLocalOriginErrors").yes() {
			j.report(r.urn, fmt.Sprintf("%s: %s: has no effect without splitExternalLocalOriginErrors, got %s; set that to true", r.name, failures.path, failures.show()))
		}
	},
}
