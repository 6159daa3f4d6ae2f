package topology

import (
	"slices"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/destinations"
)

// NatFallback names the proxied destinations that may be reached through the NAT when no proxy is left: those with exact hosts whose
// partner lists the NAT's IPs anyway, because another destination of that partner is on route nat, or who have no partner.
func NatFallback(list []destinations.Destination) map[string]bool {
	listed := Partners(list, allowlist.KindNat)
	allowed := map[string]bool{}
	for _, d := range list {
		if ViaProxy(d) && !slices.ContainsFunc(d.Hosts, destinations.IsWildcard) && (d.Partner == "" || slices.Contains(listed, d.Partner)) {
			allowed[d.Name] = true
		}
	}
	return allowed
}
