// Package egresspolicy closes the way around the proxies for the namespaces that ask for it: their pods reach the cluster, the proxies on
// the ports of the destinations, the networks that are named, and nothing else. A connection to the internet then either leaves through a
// proxy, which checks the list, or not at all.
//
// A NetworkPolicy knows no host names, so what leaves by NAT is closed too unless its networks are named. It needs a network plug-in that
// enforces policies for egress; on EKS that has to be switched on in the VPC plug-in, on GKE it is Dataplane V2 or Calico. Pods on the
// node's own network are not subject to it. The metadata services of the clouds (169.254.169.254, and 169.254.170.23 for pod identities on
// EKS) are closed as well.
package egresspolicy

import (
	"net/netip"
	"slices"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// name of the policy in each namespace.
const name = "sallyport-egress"

// Settings is what the policies depend on.
type Settings struct {
	Namespaces   []string       // that ask for it, at least one
	ClusterCIDRs []netip.Prefix // pods, Services, nodes: open on every port; at least one
	AllowCIDRs   []netip.Prefix // open on every port as well; may be empty
	Ports        []int          // of the proxied destinations
	NodeDNS      netip.Addr     // the DNS cache on the node; zero: none
}

// Found is what is known only when other resources exist.
type Found struct {
	Proxies []netip.Addr // private addresses of the fleet, at least one
}

func (s Settings) validate(found Found) error {
	var list problem.List
	const place = "egress policy: "
	for field, n := range map[string]int{
		"namespaces": len(s.Namespaces), "clusterCIDRs": len(s.ClusterCIDRs), "ports": len(s.Ports), "proxies": len(found.Proxies),
	} {
		if n == 0 {
			list.Add(place+field, "needs at least 1", 0, "without it pods would reach nothing")
		}
	}
	for _, p := range slices.Concat(s.ClusterCIDRs, s.AllowCIDRs) {
		if !p.IsValid() || p.Bits() == 0 {
			list.Add(place+"networks", "must not be everything", p.String(), "that would close nothing")
		}
	}
	return list.Err()
}

// Objects renders one policy for each namespace.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := s.validate(found); err != nil {
		return nil, err
	}
	var objects []manifests.Object
	for _, namespace := range s.Namespaces {
		objects = append(objects, manifests.New("networking.k8s.io/v1", "NetworkPolicy", namespace, name).With("spec", manifests.Map{
			"podSelector": manifests.Map{}, "policyTypes": []any{"Egress"}, "egress": s.rules(found),
		}))
	}
	return objects, nil
}

func (s Settings) rules(found Found) []any {
	proxies := make([]netip.Prefix, len(found.Proxies))
	for i, ip := range found.Proxies {
		proxies[i] = netip.PrefixFrom(ip, ip.BitLen())
	}
	rules := []any{
		manifests.Map{"to": blocks(slices.Concat(s.ClusterCIDRs, s.AllowCIDRs))},
		manifests.Map{"to": blocks(proxies), "ports": tcp(s.Ports)},
	}
	if s.NodeDNS.IsValid() {
		rules = append(rules, manifests.Map{"to": blocks([]netip.Prefix{netip.PrefixFrom(s.NodeDNS, s.NodeDNS.BitLen())}), "ports": []any{
			manifests.Map{"protocol": "UDP", "port": 53}, manifests.Map{"protocol": "TCP", "port": 53},
		}})
	}
	return rules
}

func blocks(networks []netip.Prefix) []any {
	var all []any
	for _, network := range networks {
		all = append(all, manifests.Map{"ipBlock": manifests.Map{"cidr": network.String()}})
	}
	return all
}

func tcp(ports []int) []any {
	var all []any
	for _, port := range ports {
		all = append(all, manifests.Map{"protocol": "TCP", "port": port})
	}
	return all
}
