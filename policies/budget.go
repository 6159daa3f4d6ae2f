package main

import (
	"fmt"
	"slices"
	"sync"
)

// hourly are list prices in USD of us-east-1 and of Cloud NAT's price page: what a stack costs without traffic. AWS and Google price
// pages, 2026.
var hourly = map[string]float64{
	natGatewayType: 0.045,
	eipType:        0.005,
	gcpAddressType: 0.005,
}

const hoursPerMonth = 730

// budget adds up what the stack's NAT gateways, public IPs and proxies cost a month by list price.
var budget = newBudget()

// newBudget keeps the sum between resources, because the SDK hands settings to policies of one resource only.
func newBudget() policy {
	var mu sync.Mutex
	costs := map[string]float64{} // by urn
	return policy{
		name: "budget", level: advisory,
		description: "The month's list price without traffic stays within the budget (setting monthlyUSD, 0: no budget).",
		config: settings(map[string]map[string]any{
			"monthlyUSD": {"type": "number", "minimum": 0, "default": 0}, "proxyHourlyUSD": {"type": "number", "minimum": 0, "default": 0.08},
		}),
		types: append([]string{natGatewayType, eipType, gcpAddressType}, fleetTypes...),
		resource: func(j *judge, r resource) {
			price := hourly[r.kind]
			if slices.Contains(fleetTypes, r.kind) {
				for _, count := range activeSlots(r.inputs.at("slots")) {
					price += float64(count) * j.number("proxyHourlyUSD", 0.08)
				}
			}
			if internalAddress(r) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sum := 0.0
			for _, cost := range costs {
				sum += cost
			}
			limit, own := j.number("monthlyUSD", 0), price*hoursPerMonth
			if _, counted := costs[r.urn]; !counted {
				costs[r.urn] = own
				if limit > 0 && sum <= limit && sum+own > limit {
					j.report(r.urn, fmt.Sprintf("%s: the stack must not cost more than $%.2f a month, got $%.2f with this resource; compare designs with `sallyport plan`, or raise monthlyUSD",
						r.name, limit, sum+own))
				}
			}
		},
	}
}
