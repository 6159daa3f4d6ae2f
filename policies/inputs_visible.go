package main

// inputsVisible names what the other policies could not judge in a preview. In the update everything is known and they judge it.
func inputsVisible(rules []policy) policy {
	return policy{
		name: "inputs-visible", level: advisory,
		description: "Everything that the other policies judge is known already.",
		stack: func(j *judge, resources stack) {
			seen := map[string]bool{}
			collector := &judge{
				report: func(string, string) {},
				unknown: func(urn, message string) {
					if !seen[urn+message] {
						seen[urn+message] = true
						j.report(urn, message)
					}
				},
			}
			for _, rule := range rules {
				if rule.stack != nil {
					rule.stack(collector, resources)
					continue
				}
				if rule.name == "budget" {
					continue // counts each resource once
				}
				for _, r := range resources.of(rule.types...) {
					rule.resource(collector, r)
				}
			}
		},
	}
}
