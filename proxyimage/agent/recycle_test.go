package agent

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
)

func TestHTTP2ClientsAreRecycledByTheirRequests(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	pool := func(clients int, requests uint64) []haproxy.Frontend {
		return []haproxy.Frontend{{Name: "port-8080", HTTP2Clients: clients, HTTP2Requests: requests}}
	}
	for name, test := range map[string]struct {
		frontends []haproxy.Frontend
		workers   int
		since     time.Duration // the last reload
		want      bool
	}{
		"nobody speaks HTTP/2":            {pool(0, 5000), 1, time.Hour, false},
		"one client, too few requests":    {pool(1, 999), 1, time.Hour, false},
		"one client, enough requests":     {pool(1, 1000), 1, time.Hour, true},
		"four clients share the requests": {pool(4, 3999), 1, time.Hour, false},
		"four clients, enough for each":   {pool(4, 4000), 1, time.Hour, true},
		"again at once":                   {pool(1, 1000), 1, recyclePause - 1, false},
		"again after the pause":           {pool(1, 1000), 1, recyclePause, true},
		"an old worker still busy":        {pool(1, 1000), recycleWorkers - 1, time.Hour, true},
		"old workers pile up":             {pool(1, 1000), recycleWorkers, time.Hour, false},
	} {
		r := &recycler{after: 1000}
		r.reloaded(now.Add(-test.since))
		if got := r.judge(now, test.frontends, test.workers); got != test.want || r.due.Load() != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		if r.reloaded(now); r.judge(now, test.frontends, test.workers) {
			t.Errorf("%s: due again right after a reload", name)
		}
	}
}

func TestEveryControllerHasItsOwnOrderOfProxies(t *testing.T) {
	var fleet []netip.Addr
	for i := range byte(8) {
		fleet = append(fleet, netip.AddrFrom4([4]byte{10, 0, 3, i + 1}))
	}
	first := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		one, again := shuffled(slices.Clone(fleet), name), shuffled(slices.Concat(fleet[4:], fleet[:4]), name)
		if !slices.Equal(one, again) {
			t.Errorf("%s: %v, then %v: the order must not depend on that of the answers", name, one, again)
		}
		first[one[0].String()] = true
	}
	if len(first) < 3 {
		t.Errorf("eight controllers begin with only %d proxies: %v", len(first), first)
	}
}
