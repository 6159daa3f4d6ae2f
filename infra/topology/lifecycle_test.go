package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/clock"
)

// settingsOf reads a stack on AWS with a NAT per zone and a fleet; allowlist is its section.
func settingsOf(t *testing.T, zones, section string) *stack.Stack {
	t.Helper()
	s, err := stack.ParseFile("stack.yaml", []byte(fmt.Sprintf(`config:
  sallyport:cloud: aws
  sallyport:cluster: {zones: [%s], nodes: 4}
  sallyport:aws: {region: eu-west-1, vpc: {cidr: 10.64.0.0/16}}
  sallyport:proxies: {sparePerZone: 0, ipsPerProxy: 2}
  sallyport:destinations:
    - {name: news, hosts: [news.example.org], partner: news, demand: {connectionsPerSecond: 1}}
    - {name: pay, hosts: [pay.example.com], route: proxy, partner: bank, demand: {connectionsPerSecond: 1}}
  sallyport:allowlist: %s
`, zones, section)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lifecycle decides and hands out the document on a day.
func lifecycle(t *testing.T, day string, settings *stack.Stack, previous *allowlist.Document) (*Lifecycle, *allowlist.Document) {
	t.Helper()
	t.Setenv(clock.Env, day+"T00:00:00Z")
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLifecycle(settings, plan, previous)
	if err != nil {
		t.Fatal(err)
	}
	ips := map[string]netip.Addr{}
	for i, a := range l.Addresses() {
		if !a.Release {
			ips[a.Name] = netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})
		}
	}
	document, err := l.Document("prod", "eu-west-1", ips)
	if err != nil {
		t.Fatal(err)
	}
	return l, &document
}

func names(lives []allowlist.Life) string {
	var all []string
	for _, life := range lives {
		all = append(all, life.Name)
	}
	return strings.Join(all, " ")
}

func TestAZoneAddedLaterWaitsForThePartnersAndARemovedOneKeepsItsIPs(t *testing.T) {
	const notice = `{notice: {default: 14d}}`
	two := settingsOf(t, "eu-west-1a, eu-west-1b", notice)
	l, first := lifecycle(t, "2026-01-01", two, nil)
	for _, name := range []string{"nat-eu-west-1a-1", "nat-eu-west-1b-1", "proxy-eu-west-1a-1", "proxy-eu-west-1a-1-2", "proxy-eu-west-1b-1"} {
		if !l.Usable(name) {
			t.Errorf("%s waits in the first deployment", name)
		}
	}
	if l.Usable("nat-eu-west-1c-1") || l.Usable("proxy") || len(l.Warnings()) > 0 {
		t.Errorf("places that the plan does not have are usable, or %v", l.Warnings())
	}
	three := settingsOf(t, "eu-west-1a, eu-west-1b, eu-west-1c", notice)
	l, second := lifecycle(t, "2026-02-01", three, first)
	for name, want := range map[string]bool{"nat-eu-west-1a-1": true, "nat-eu-west-1c-1": false, "proxy-eu-west-1b-1": true, "proxy-eu-west-1c-1": false, "proxy-eu-west-1c-1-1": false} {
		if l.Usable(name) != want {
			t.Errorf("%s: usable %v", name, !want)
		}
	}
	if w := l.Warnings(); len(w) != 3 || !strings.Contains(strings.Join(w, "\n"), "nat-eu-west-1c-1: nat-eu-west-1c-1 carries no traffic yet: waits for [news], until 2026-02-15T00:00:00Z at the latest") {
		t.Errorf("warnings %q", w)
	}
	// One of the two IPs of the new proxy is confirmed: the proxy waits for the other.
	three.Allowlist.IPs = map[string]stack.IPRecord{"proxy-eu-west-1c-1-1": {Confirmed: map[string]string{"bank": "2026-02-02"}}}
	l, _ = lifecycle(t, "2026-02-03", three, second)
	if !l.Usable("proxy-eu-west-1c-1-1") || l.Usable("proxy-eu-west-1c-1") {
		t.Error("a proxy starts with one of its IPs unknown to partners")
	}
	l, third := lifecycle(t, "2026-02-15", three, second)
	if !l.Usable("proxy-eu-west-1c-1") || !l.Usable("nat-eu-west-1c-1") {
		t.Error("the notice is over, and the zone still waits")
	}
	l, fourth := lifecycle(t, "2026-03-01", settingsOf(t, "eu-west-1b, eu-west-1c", notice), third)
	if got := names(l.Draining(allowlist.KindNat)) + "|" + names(l.Draining(allowlist.KindProxy)); got != "nat-eu-west-1a-1|proxy-eu-west-1a-1-1 proxy-eu-west-1a-1-2" {
		t.Errorf("draining %s", got)
	}
	if len(l.Addresses()) != len(third.Entries) || len(fourth.Entries) != len(third.Entries) {
		t.Errorf("addresses went with their zone: %s", names(l.Addresses()))
	}
	released := settingsOf(t, "eu-west-1b, eu-west-1c", `{notice: {default: 14d}, ips: {nat-eu-west-1a-1: {released: 2026-04-01}}}`)
	_, fifth := lifecycle(t, "2026-03-15", settingsOf(t, "eu-west-1b, eu-west-1c", notice), fourth)
	l, sixth := lifecycle(t, "2026-04-01", released, fifth)
	if i := slices.IndexFunc(l.Addresses(), func(a allowlist.Life) bool { return a.Release }); i < 0 || l.Addresses()[i].Name != "nat-eu-west-1a-1" {
		t.Errorf("nothing is released: %s", names(l.Addresses()))
	}
	if l, _ = lifecycle(t, "2026-04-02", released, sixth); strings.Contains(names(l.Addresses()), "nat-eu-west-1a-1") {
		t.Errorf("not dropped: %s", names(l.Addresses()))
	}
}

func TestGrowthAttachesHeadroom(t *testing.T) {
	section := `{notice: {default: 14d}, reserve: 1}`
	_, first := lifecycle(t, "2026-01-01", settingsOf(t, "eu-west-1a", section), nil)
	l, second := lifecycle(t, "2026-02-01", settingsOf(t, "eu-west-1a, eu-west-1b", section), first)
	if !l.Usable("nat-eu-west-1b-1") || l.Of("nat-eu-west-1b-1").Name != "nat-reserve-1" || l.Of("nat-eu-west-1a-1").Name != "nat-eu-west-1a-1" {
		t.Errorf("%+v", l.Of("nat-eu-west-1b-1"))
	}
	if l.Usable("proxy-eu-west-1b-1") { // it has two IPs, and only one was in reserve
		t.Error("a proxy starts with one of its IPs unknown to partners")
	}
	text, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := allowlist.Parse(text); err != nil || !allowlist.Diff(*second, again).Empty() {
		t.Errorf("the document is not continued as it was: %v", err)
	}
}

func TestAnAddressWithoutAnIPWithholdsTheDocument(t *testing.T) {
	settings := settingsOf(t, "eu-west-1a", `{}`)
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLifecycle(settings, plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Document("prod", "eu-west-1", nil); !errors.Is(err, allowlist.ErrIncomplete) {
		t.Error(err)
	}
}

func TestWhatPeopleWroteTooEarlyIsRefused(t *testing.T) {
	settings := settingsOf(t, "eu-west-1a", `{ips: {nat-eu-west-1a-1: {draining: 2026-01-01}, nat-x: {retired: 2026-01-01}}}`)
	_, first := lifecycle(t, "2025-12-01", settingsOf(t, "eu-west-1a", `{}`), nil)
	t.Setenv(clock.Env, "2026-01-01T00:00:00Z")
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewLifecycle(settings, plan, first)
	for _, want := range []string{"sallyport:allowlist.ips.nat-eu-west-1a-1.draining: must wait for an IP that may take over", "sallyport:allowlist.ips.nat-x: must be an address of the stack"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// A proxy runs with all its IPs or not at all: a further one that partners do not list would stop it.
func TestRunningProxiesAreNotStoppedForAnotherIP(t *testing.T) {
	const notice = `{reserve: %d, notice: {default: 14d}}`
	settings := settingsOf(t, "eu-west-1a, eu-west-1b", fmt.Sprintf(notice, 1))
	settings.Proxies.IPsPerProxy = 1
	_, first := lifecycle(t, "2026-01-01", settings, nil)
	_, second := lifecycle(t, "2026-01-02", settings, first)

	t.Setenv(clock.Env, "2026-02-01T00:00:00Z")
	settings.Proxies.IPsPerProxy = 2
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	want := "sallyport:proxies.ipsPerProxy: must not give running proxies IPs that partners do not list yet: 1 IPs would have to wait, and their proxies with them, got 2; " +
		"raise allowlist.reserve to 2 first: that headroom may come into use when partners list it, on 2026-02-15 at the latest"
	if _, err := NewLifecycle(settings, plan, second); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	enough := settingsOf(t, "eu-west-1a, eu-west-1b", fmt.Sprintf(notice, 2))
	enough.Proxies.IPsPerProxy = 1
	_, first = lifecycle(t, "2026-01-01", enough, nil)
	enough.Proxies.IPsPerProxy = 2
	l, _ := lifecycle(t, "2026-02-01", enough, first)
	for _, slot := range []string{"proxy-eu-west-1a-1", "proxy-eu-west-1b-1"} {
		if !l.Usable(slot) {
			t.Errorf("%s was stopped", slot)
		}
	}
	// A new zone's proxies stop nothing: they wait with all their IPs, and as long as any of them waits.
	grown := settingsOf(t, "eu-west-1a, eu-west-1b", fmt.Sprintf(notice, 0))
	_, first = lifecycle(t, "2026-01-01", grown, nil)
	grown = settingsOf(t, "eu-west-1a, eu-west-1b, eu-west-1c", fmt.Sprintf(notice, 0))
	_, first = lifecycle(t, "2026-02-01", grown, first)
	grown = settingsOf(t, "eu-west-1a, eu-west-1b, eu-west-1c", `{notice: {default: 14d}, ips: {proxy-eu-west-1c-1-1: {confirmed: {bank: 2026-02-02}}}}`)
	_, first = lifecycle(t, "2026-02-02", grown, first)
	if l, _ := lifecycle(t, "2026-02-03", grown, first); l.Usable("proxy-eu-west-1c-1") || l.Of("proxy-eu-west-1c-1-1").State != allowlist.StateActive {
		t.Errorf("proxy-eu-west-1c-1: %v", l.Of("proxy-eu-west-1c-1-1").State)
	}
}
