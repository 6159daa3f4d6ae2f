package main

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/stack"
)

// size is how large a stack is, and its cloud: aws or gcp.
type size struct {
	cloud                                    string
	zones, slotsPerZone, nodes, destinations int
}

// slotRate is what one proxy takes in new connections per second by default.
const slotRate = 2000

type object = map[string]any

// file is a stack file of that size. The demand is chosen so that the plan has the slots, one spare per zone included.
func (s size) file() (string, error) {
	proxied := (s.destinations + 1) / 2
	rate := 0.98 * slotRate * float64(s.zones*(s.slotsPerZone-1)) / float64(proxied)
	list := make([]object, s.destinations)
	for i := range list {
		route, demand := "proxy", object{"connectionsPerSecond": rate, "secondsPerConnection": 0.1}
		if i%2 == 1 {
			route, demand = "nat", object{"connectionsPerSecond": 100}
		}
		list[i] = object{
			"name": fmt.Sprintf("destination-%d", i), "hosts": []string{fmt.Sprintf("api-%d.example.com", i)}, "route": route,
			"partner": fmt.Sprintf("partner-%d", i%40), "demand": demand,
		}
	}
	config := object{
		"pulumi:disable-default-providers": []string{"*"},
		"sallyport:cloud":                  s.cloud,
		"sallyport:destinations":           list,
		"sallyport:allowlist":              object{"reserve": 2},
	}
	cluster := object{"nodes": s.nodes, "maxNodes": 2 * s.nodes}
	config["sallyport:cluster"] = cluster
	cluster["zones"], config["sallyport:"+s.cloud] = clouds[s.cloud](s)
	text, err := yaml.Marshal(object{"config": config})
	if err != nil {
		return "", err
	}
	return string(text), s.check(text)
}

const digest = "sha256:5a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f047"

// clouds make the names of the zones, and the part of the stack file that is the cloud's own.
var clouds = map[string]func(s size) ([]string, object){"aws": onAWS, "gcp": onGCP}

func onAWS(s size) ([]string, object) {
	zones := make([]string, s.zones)
	public, private := object{}, object{}
	for i := range zones {
		letter := string(rune('a' + i))
		zones[i] = "eu-west-1" + letter
		public[zones[i]] = "subnet-0123456789abcde0" + letter
		private[zones[i]] = []string{"rtb-0123456789abcde0" + letter}
	}
	return zones, object{
		"region": "eu-west-1",
		"vpc": object{
			"id": "vpc-0123456789abcde00", "cidrs": []string{"10.0.0.0/8"}, "publicSubnets": public, "privateRouteTables": private,
		},
		"fleet": object{"digest": digest},
	}
}

func onGCP(s size) ([]string, object) {
	zones := make([]string, s.zones)
	for i := range zones {
		zones[i] = "us-central1-" + string(rune('a'+i))
	}
	return zones, object{
		"project": "example-bench", "region": "us-central1",
		"network": object{"existing": object{"name": "prod", "subnetworks": []object{{"name": "nodes"}}, "fleetSubnetwork": "egress"}},
		"clients": []string{"10.0.0.0/9"},
		"fleet":   object{"image": "us-central1-docker.pkg.dev/example-bench/egress/sallyport@" + digest},
	}
}

// check makes sure that the file is what it is called.
func (s size) check(text []byte) error {
	decoded, err := stack.ParseFile("bench", text)
	if err != nil {
		return err
	}
	plan, err := decoded.Plan()
	if err != nil {
		return err
	}
	if plan.Proxies.PerZone != s.slotsPerZone || plan.Proxies.Total != s.zones*s.slotsPerZone {
		return fmt.Errorf("size: needs %d proxies per zone, got %d", s.slotsPerZone, plan.Proxies.PerZone)
	}
	return nil
}
