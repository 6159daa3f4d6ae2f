package elasticip

import (
	"net/netip"
	"regexp"
	"slices"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/problem"
)

var (
	allocationID = regexp.MustCompile(`^eipalloc-[0-9a-f]{8,17}$`)
	names        = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// validate reports all problems at once.
func (args *AddressesArgs) validate(component string) error {
	var list problem.List
	place := "addresses " + component + ": "
	if args.Stack == "" {
		list.Add(place+"stack", "is required", nil, "give the stack's name")
	}
	if args.Kind != "nat" && args.Kind != "proxy" {
		list.Add(place+"kind", "must be nat or proxy", args.Kind, "say what the addresses are for")
	}
	args.validatePool(place, &list)
	seen := map[string]bool{}
	var picked []string
	for i, address := range args.Addresses {
		at := problem.Index(place+"addresses", i)
		if !names.MatchString(address.Name) {
			list.Add(at+".name", "must be of a-z, 0-9 and -", address.Name, "name the slot it is made for")
		}
		if seen[address.Name] {
			list.Add(at+".name", "must be unique", address.Name, "remove one of the two")
		}
		seen[address.Name] = true
		if address.AllocationID != "" && !allocationID.MatchString(address.AllocationID) {
			list.Add(at+".allocationId", "must be the id of an Elastic IP, eipalloc-...", address.AllocationID, "copy it from the EC2 console")
		}
		if address.AllocationID == "" && address.Tags[allowlist.TagSlot] != address.Name {
			list.Add(at+".tags", "must say whose address it is, with "+allowlist.TagSlot+" being its name", address.Tags[allowlist.TagSlot], "use allowlist.Tags")
		}
		if address.PublicIP == "" {
			continue
		}
		if ip, err := netip.ParseAddr(address.PublicIP); err != nil || !ip.Is4() {
			list.Add(at+".publicIp", "must be an IPv4 address", address.PublicIP, "pick one of the pool's block")
		}
		if slices.Contains(picked, address.PublicIP) {
			list.Add(at+".publicIp", "must be unique", address.PublicIP, "pick another one of the pool's block")
		}
		picked = append(picked, address.PublicIP)
	}
	return list.Err()
}

func (args *AddressesArgs) validatePool(place string, list *problem.List) {
	switch args.Source {
	case SourceAmazon:
		if args.Pool != "" {
			list.Add(place+"pool", "must be left out with source amazon", args.Pool, "remove it, or set source to byoip or ipam")
		}
	case SourceBYOIP, SourceIPAM:
		if args.Pool == "" {
			list.Addf(place+"pool", nil, "give the pool's id", "is required with source %s", args.Source)
		}
	default:
		list.Add(place+"source", "must be amazon, byoip or ipam", args.Source, "leave it out for Amazon's addresses")
	}
}
