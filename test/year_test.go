package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/test/allowlist/year"
)

// yearOfPackets is the year's stack in the lab. Its partners begin with empty lists, and the test is their administrator.
var yearOfPackets = year.Config(`  pulumi:disable-default-providers: [aws, gcp, kubernetes]
  sallyport:cloud: local
  sallyport:nat: {flavor: natgateway, maxIPsPerGateway: 8}
  sallyport:lab:
    partnerLists: {bank: [], shop: []}
`)

// service is a partner's server, as the lab names it.
type service struct {
	name, host string
	kind       allowlist.Kind
}

// services are the servers of the year's partners.
var services = map[string][]service{
	"bank": {{"rates", "rates.example.net", allowlist.KindNat}, {"payments", "pay.example.com", allowlist.KindProxy}},
	"shop": {{"orders", "orders.example.org", allowlist.KindNat}},
}

// lifelong is a pod that exists the whole year, in a zone that is never removed.
const lifelong = "pod-eu-west-1b-1-1"

// labYear is the stack in the lab: its partners refuse whoever is not on their lists, and what carries traffic is what they saw.
type labYear struct {
	*environment
	text  []byte                        // the output allowlist after the last update
	seen  map[netip.Addr]allowlist.Kind // by the partners since the last update; nil before anybody looked
	calls atomic.Int64                  // that were answered
}

func (l *labYear) File() string { return l.file }

func (l *labYear) Document() []byte { return l.text }

// Up applies the stack file while a pod goes on calling every partner: a call that is refused or cut fails the test.
func (l *labYear) Up(now time.Time) error {
	l.env = []string{clock.Env + "=" + now.Format(time.RFC3339)}
	stop := l.callAll()
	r := l.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs")
	stop()
	if r.err != nil {
		return fmt.Errorf("%w\n%s%s", r.err, r.stdout, r.stderr)
	}
	l.text, l.seen = []byte(l.must("tools/pulumi.sh", "stack", "output", "allowlist", "--json", "--stack", l.name)), nil
	return nil
}

// callAll makes a pod call every partner until the function it returns is called. Before the first update there is no pod.
func (l *labYear) callAll() (stop func()) {
	if l.text == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	var calls sync.WaitGroup
	for owner, list := range services {
		for _, s := range list {
			calls.Go(func() {
				spec := load.Spec{Host: s.host, RatePerSecond: 10, DurationSeconds: commandTimeout.Seconds()}
				l.call(ctx, owner, s, lifelong, spec)
			})
		}
	}
	return func() {
		time.Sleep(500 * time.Millisecond) // what the update changed last is called as well
		cancel()
		calls.Wait()
	}
}

// call calls a partner's server from a pod and returns the sources that it saw.
func (l *labYear) call(ctx context.Context, owner string, s service, pod string, spec load.Spec) map[string]int {
	spec.Resolver, spec.CAFile, spec.TimeoutSeconds, spec.Attempts = labid.NodeLocalDNS.String(), l.caFile(), patience, 3
	r, err := load.RunIn(ctx, labid.Netns(l.lab(), pod), spec, nil, l.bin("labd"), "load", "--spec", "-")
	if err != nil {
		l.t.Errorf("%s calls %s: %v", pod, s.host, err)
		return nil
	}
	if r.Failed > 0 || r.FirstFailures[load.Status] > 0 { // a list's refusal counts even if another IP was let in
		l.t.Errorf("%s calls %s of partner %s, who saw %v: %d of %d failed: %v, first attempts %v %v",
			pod, s.host, owner, r.Sources, r.Failed, r.Connections, r.Failures, r.FirstFailures, r.Errors)
	}
	l.calls.Add(int64(r.OK))
	return r.Sources
}

// Carrying calls every partner from a pod in each zone until they have seen every IP that should carry traffic.
func (l *labYear) Carrying() map[netip.Addr]allowlist.Kind {
	l.t.Helper()
	if l.seen != nil {
		return l.seen
	}
	l.seen = map[netip.Addr]allowlist.Kind{}
	want := addresses(l.allowlist(), allowlist.StateActive)
	for range 20 {
		l.look()
		if len(l.seen) >= len(want) {
			break
		}
	}
	got := make([]string, 0, len(l.seen))
	for ip := range l.seen {
		got = append(got, ip.String())
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		l.t.Errorf("partners saw %v, and the allow list says that %v carry traffic", got, want)
	}
	return l.seen
}

// look calls every partner a few times from a pod in each zone.
func (l *labYear) look() {
	l.t.Helper()
	inZone := map[string]string{}
	for _, pod := range l.pods() {
		inZone[strings.TrimRight(pod, "-0123456789")] = pod
	}
	for _, pod := range slices.Sorted(maps.Values(inZone)) {
		for owner, list := range services {
			for _, s := range list {
				for source := range l.call(l.t.Context(), owner, s, pod, load.Spec{Host: s.host, RatePerSecond: 200, DurationSeconds: 1, Count: 20}) {
					l.seen[netip.MustParseAddr(source)] = s.kind
				}
			}
		}
	}
}

// List writes a partner's list into its servers and waits until they enforce it.
func (l *labYear) List(owner string, ips []netip.Addr) {
	l.t.Helper()
	for _, s := range services[owner] {
		dir := filepath.Join(labid.StateDir(l.lab()), "hosts", labid.Host(labid.PartnerHost, s.name))
		path, log := filepath.Join(dir, "partner.json"), filepath.Join(dir, "partner.log")
		var config partner.Config
		if err := json.Unmarshal(l.read(path), &config); err != nil {
			l.t.Fatal(err)
		}
		config.Allow = nil
		for _, ip := range ips {
			config.Allow = append(config.Allow, netip.PrefixFrom(ip, ip.BitLen()))
		}
		text, err := json.Marshal(config)
		if err != nil {
			l.t.Fatal(err)
		}
		said := len(l.read(log))
		if err := registry.WriteFile(path, text, 0o644); err != nil {
			l.t.Fatal(err)
		}
		if _, err := until(patience*time.Second, func() error {
			if news := l.read(log)[said:]; !bytes.Contains(news, []byte("configuration in force")) {
				return fmt.Errorf("%s has not taken its new list: %s", s.name, news)
			}
			return nil
		}); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *labYear) read(path string) []byte {
	l.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// TestAYearOfPackets is the year with real packets: partners who enforce their lists never refuse a call, not even during an update.
func TestAYearOfPackets(t *testing.T) {
	l := &labYear{environment: newEnvironment(t, yearOfPackets)}
	y := year.New(t, l, l.bin("sallyport"))
	y.Brief = true
	y.Play()
	t.Logf("%d calls, none refused", l.calls.Load())
}
