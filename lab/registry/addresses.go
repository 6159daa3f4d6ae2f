package registry

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sort"

	"github.com/sallyport/sallyport/lab/labid"
)

// Pool is a range of addresses handed out by name.
type Pool struct {
	Kind  string     // names are unique within a kind
	First netip.Addr // first address that may be given
	Last  netip.Addr // last address that may be given, included
	Step  uint32     // from one address to the next; 0 is 1
}

// The pools every lab has. Public ones lie in the documentation ranges of RFC 5737.
var (
	PoolNat       = pool("nat", labid.NatPublic, 1)
	PoolProxy     = pool("proxy", labid.ProxyPublic, 1)
	PoolInterface = pool("interface", labid.Proxies, labid.FirstHost)
	PoolPartner   = pool("partner", labid.PartnerPublic, 1)
	PoolGateway   = pool("gateway", labid.NatPrivate, labid.FirstHost)
	PoolNode      = pool("node", labid.Nodes, labid.FirstHost)
	// PoolPods has the first address of each network of pods, a /24 per node.
	PoolPods = Pool{Kind: "pods", First: labid.Pods.Addr(), Last: fromNumber(toNumber(labid.Pods.Addr()) + 255*256), Step: 256}
)

// PodPool returns the pool of pod addresses of one node: its range from the second host on, the first is the node's own.
func PodPool(node string, cidr netip.Prefix) Pool {
	return pool(podKind(node), cidr, 2)
}

func podKind(node string) string { return "pods of " + node }

// pool spans the addresses of a range from a host number up to the last before the broadcast address.
func pool(kind string, cidr netip.Prefix, first uint32) Pool {
	base := toNumber(cidr.Masked().Addr())
	size := uint32(1) << (32 - cidr.Bits())
	return Pool{Kind: kind, First: fromNumber(base + first), Last: fromNumber(base + size - 2)}
}

func fromNumber(n uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

func toNumber(a netip.Addr) uint32 {
	four := a.As4()
	return binary.BigEndian.Uint32(four[:])
}

// next is the address after one of the pool.
func (p Pool) next(a netip.Addr) netip.Addr { return fromNumber(toNumber(a) + max(p.Step, 1)) }

// Contains reports whether the pool may give the address.
func (p Pool) Contains(a netip.Addr) bool {
	return a.Is4() && p.First.Compare(a) <= 0 && a.Compare(p.Last) <= 0 && (toNumber(a)-toNumber(p.First))%max(p.Step, 1) == 0
}

// addresses is the file: kind, then name, then address.
type addresses map[string]map[string]netip.Addr

func (l Lab) addressFile() string { return l.Path("addresses.json") }

// Allocate gives the address of a name: the one it has, else the wanted one, else the lowest free one. A wanted address
// moves the name. It creates the lab's directory, so that an address survives even the loss of its lab.
func (l Lab) Allocate(ctx context.Context, p Pool, name string, want netip.Addr) (netip.Addr, error) {
	var given netip.Addr
	err := l.changeAddresses(ctx, func(all addresses) (err error) {
		given, err = all.allocate(p, name, want)
		return err
	})
	return given, err
}

// Lookup returns the address of a name, or the zero Addr if it has none.
func (l Lab) Lookup(p Pool, name string) (netip.Addr, error) {
	all := addresses{}
	if err := readJSON(l.addressFile(), &all); err != nil {
		return netip.Addr{}, fmt.Errorf("lab %s: addresses: %w", l.ID, err)
	}
	return all[p.Kind][name], nil
}

// Addresses returns the names of a kind that have an address, and the address of each.
func (l Lab) Addresses(p Pool) (map[string]netip.Addr, error) {
	all := addresses{}
	if err := readJSON(l.addressFile(), &all); err != nil {
		return nil, fmt.Errorf("lab %s: addresses: %w", l.ID, err)
	}
	return all[p.Kind], nil
}

// Release forgets the address of a name, provided it is still the given one: a name that has moved on keeps its new address.
func (l Lab) Release(ctx context.Context, p Pool, name string, old netip.Addr) error {
	if !l.Exists() {
		return nil
	}
	return l.changeAddresses(ctx, func(all addresses) error {
		if all[p.Kind][name] == old {
			delete(all[p.Kind], name)
		}
		return nil
	})
}

// ReleasePods forgets the addresses of all pods of a node.
func (l Lab) ReleasePods(ctx context.Context, node string) error {
	if !l.Exists() {
		return nil
	}
	return l.changeAddresses(ctx, func(all addresses) error {
		delete(all, podKind(node))
		return nil
	})
}

func (l Lab) changeAddresses(ctx context.Context, change func(addresses) error) error {
	if err := l.Create(); err != nil {
		return err
	}
	unlock, err := l.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all := addresses{}
	if err := readJSON(l.addressFile(), &all); err != nil {
		return fmt.Errorf("lab %s: addresses: %w", l.ID, err)
	}
	if err := change(all); err != nil {
		return err
	}
	if err := writeJSON(l.addressFile(), all); err != nil {
		return fmt.Errorf("lab %s: addresses: %w", l.ID, err)
	}
	return nil
}

func (all addresses) empty() bool {
	for _, names := range all {
		if len(names) > 0 {
			return false
		}
	}
	return true
}

func (all addresses) allocate(p Pool, name string, want netip.Addr) (netip.Addr, error) {
	taken := all[p.Kind]
	if taken == nil {
		taken = map[string]netip.Addr{}
		all[p.Kind] = taken
	}
	if want.IsValid() {
		return all.take(p, name, want)
	}
	if have, ok := taken[name]; ok && p.Contains(have) {
		return have, nil
	}
	delete(taken, name) // an address outside of a pool that has changed
	used := map[netip.Addr]bool{}
	for _, a := range taken {
		used[a] = true
	}
	for a := p.First; p.Contains(a); a = p.next(a) {
		if !used[a] {
			taken[name] = a
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("address %s: kind %s has addresses %s to %s, got %d names already; remove names that are no longer used",
		name, p.Kind, p.First, p.Last, len(taken))
}

func (all addresses) take(p Pool, name string, want netip.Addr) (netip.Addr, error) {
	if !p.Contains(want) {
		return netip.Addr{}, fmt.Errorf("address %s: kind %s needs an address from %s to %s, got %s", name, p.Kind, p.First, p.Last, want)
	}
	owners := make([]string, 0, len(all[p.Kind]))
	for owner := range all[p.Kind] {
		owners = append(owners, owner)
	}
	sort.Strings(owners)
	for _, owner := range owners {
		if owner != name && all[p.Kind][owner] == want {
			return netip.Addr{}, fmt.Errorf("address %s: %s belongs to %q; choose another or leave the address out", name, want, owner)
		}
	}
	all[p.Kind][name] = want
	return want, nil
}
