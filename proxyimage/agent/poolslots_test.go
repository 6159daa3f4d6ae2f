package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

func TestAddressesKeepTheirSlots(t *testing.T) {
	ip := func(n ...int) []netip.Addr {
		var all []netip.Addr
		for _, i := range n {
			if i == 0 {
				all = append(all, netip.Addr{})
				continue
			}
			all = append(all, netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", i)))
		}
		return all
	}
	for name, test := range map[string]struct{ slots, want, next []netip.Addr }{
		"first answer":                 {nil, ip(1, 2), ip(1, 2, 0, 0, 0, 0)},
		"an address goes":              {ip(1, 2, 3, 0, 0, 0), ip(1, 3), ip(1, 0, 3, 0, 0, 0)},
		"one goes and one comes":       {ip(1, 2, 3, 0, 0, 0), ip(1, 3, 9), ip(1, 9, 3, 0, 0, 0)},
		"all go":                       {ip(1, 2, 0, 0, 0, 0), nil, ip(0, 0, 0, 0, 0, 0)},
		"more than slots":              {nil, ip(1, 2, 3, 4, 5, 6, 7, 8), ip(1, 2, 3, 4, 5, 6)},
		"those with a slot stay":       {ip(8, 7, 0, 0, 0, 0), ip(1, 2, 3, 4, 5, 6, 7, 8), ip(8, 7, 1, 2, 3, 4)},
		"a free slot for one too many": {ip(1, 2, 3, 4, 5, 6), ip(2, 3, 4, 5, 6, 7), ip(7, 2, 3, 4, 5, 6)},
	} {
		if got := assign(test.slots, test.want); !slices.Equal(got, test.next) || len(got) != haproxycfg.PoolSlots {
			t.Errorf("%s: %v, want %v", name, got, test.next)
		}
	}
}

func TestPreferredPort(t *testing.T) {
	for _, test := range []struct {
		port, best int
		want       bool
	}{{443, 8443, true}, {8443, 443, false}, {80, 443, false}, {8443, 9443, true}, {9443, 8443, false}} {
		if preferred(test.port, test.best) != test.want {
			t.Errorf("%d before %d: want %v", test.port, test.best, test.want)
		}
	}
}
