package verify

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
)

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

// document has an IP in every state; the third came into use as headroom.
func document(t *testing.T, serial uint64) allowlist.Document {
	t.Helper()
	entry := func(text, slot, address string, kind allowlist.Kind, state allowlist.State, partners ...string) allowlist.Entry {
		return allowlist.Entry{IP: ip(text), Cloud: "aws", Region: "eu-west-1", Kind: kind, Slot: slot, Address: address, State: state, Partners: partners}
	}
	d, err := allowlist.Build("prod", serial, []allowlist.Entry{
		entry("198.51.100.1", "nat-a-1", "", allowlist.KindNat, allowlist.StateActive, "news"),
		entry("198.51.100.2", "nat-b-1", "", allowlist.KindNat, allowlist.StateDraining, "news"),
		entry("198.51.100.3", "nat-b-1", "nat-reserve-1", allowlist.KindNat, allowlist.StateActive, "news"),
		entry("198.51.100.4", "nat-reserve-2", "", allowlist.KindNat, allowlist.StateReserved, "news"),
		entry("198.51.100.5", "proxy-a-1-1", "", allowlist.KindProxy, allowlist.StateAnnounced, "bank"),
		entry("198.51.100.6", "proxy-b-1-1", "", allowlist.KindProxy, allowlist.StateActive, "bank"),
		entry("198.51.100.7", "proxy-c-1-1", "", allowlist.KindProxy, allowlist.StateRetired, "bank"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// asListed is a cloud that agrees with the document.
func asListed() []Address {
	return []Address{
		{IP: ip("198.51.100.1"), ID: "eipalloc-1", Name: "nat-a-1", Carries: true},
		{IP: ip("198.51.100.2"), ID: "eipalloc-2", Name: "nat-b-1", Carries: true},
		{IP: ip("198.51.100.3"), ID: "eipalloc-3", Name: "nat-reserve-1", Carries: true},
		{IP: ip("198.51.100.4"), ID: "eipalloc-4", Name: "nat-reserve-2"},
		{IP: ip("198.51.100.5"), ID: "eipalloc-5", Name: "proxy-a-1-1"},
		{IP: ip("198.51.100.6"), ID: "eipalloc-6", Name: "proxy-b-1-1", Carries: true},
		{IP: ip("198.51.100.7"), ID: "eipalloc-7", Name: "proxy-c-1-1"},
	}
}

func text(findings []Finding) string {
	var lines []string
	for _, f := range findings {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

func TestTheCloudMayDisagree(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]Address) []Address
		want   string
	}{
		"it agrees":     {func(a []Address) []Address { return a }, ""},
		"an IP is gone": {func(a []Address) []Address { return a[1:] }, "cloud: 198.51.100.1 nat-a-1 is active in the document and does not exist under the stack's tag: it was released, or lost its tag"},
		"an IP that nobody told": {func(a []Address) []Address {
			return append(a, Address{IP: ip("198.51.100.9"), ID: "eipalloc-9", Carries: true})
		}, "cloud: 198.51.100.9 exists (eipalloc-9) and is not in the document"},
		"a leftover":            {func(a []Address) []Address { return append(a, Address{IP: ip("198.51.100.9"), ID: "eipalloc-9"}) }, "cloud: 198.51.100.9 exists (eipalloc-9) and is not in the document (harmless)"},
		"traffic too early":     {func(a []Address) []Address { a[4].Carries = true; return a }, "cloud: 198.51.100.5 proxy-a-1-1 can carry traffic (eipalloc-5) and is announced in the document"},
		"traffic from headroom": {func(a []Address) []Address { a[3].Carries = true; return a }, "cloud: 198.51.100.4 nat-reserve-2 can carry traffic (eipalloc-4) and is reserved in the document"},
		"traffic too late":      {func(a []Address) []Address { a[6].Carries = true; return a }, "cloud: 198.51.100.7 proxy-c-1-1 can carry traffic (eipalloc-7) and is retired in the document"},
		"a swapped tag":         {func(a []Address) []Address { a[0].Name = "nat-z-1"; return a }, `cloud: 198.51.100.1 nat-a-1 is tagged as "nat-z-1" (eipalloc-1)`},
		"an instance restarts":  {func(a []Address) []Address { a[5].Carries = false; return a }, "cloud: 198.51.100.6 proxy-b-1-1 is active in the document and eipalloc-6 serves nothing now (harmless)"},
	} {
		findings := Cloud(document(t, 5), test.change(asListed()))
		if got := text(findings); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
		if want := test.want != "" && !strings.HasSuffix(test.want, "(harmless)"); want != (len(Disagreements(findings)) > 0) {
			t.Errorf("%s: disagreements %v", name, Disagreements(findings))
		}
	}
}

func TestTheStateMayDisagree(t *testing.T) {
	used := []netip.Addr{ip("198.51.100.1"), ip("198.51.100.2"), ip("198.51.100.4"), ip("198.51.100.9")}
	want := "state: 198.51.100.4 nat-reserve-2 is used and is reserved in the document\nstate: 198.51.100.9 is used and is not in the document"
	if got := text(State(document(t, 5), used)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPartnersMayHaveAnotherDocument(t *testing.T) {
	current := document(t, 5)
	if got := Published(current, current); len(got) != 0 {
		t.Error(text(got))
	}
	older := document(t, 4)
	older.Entries[0].State = allowlist.StateReserved
	if got := text(Published(current, older)); !strings.HasPrefix(got, "published: has serial 4 and the stack 5:\nserial 4 -> 5\n~ 198.51.100.1") {
		t.Error(got)
	}
	if got := text(Published(older, current)); got != "published: has serial 5, which the stack, at 4, has not reached" {
		t.Error(got)
	}
	other := current
	other.Stack = "dev"
	if got := text(Published(current, other)); got != "published: is the document of stack dev, not of prod" {
		t.Error(got)
	}
}

func TestPartnersMaySeeOtherIPs(t *testing.T) {
	got := text(Partners(document(t, 5), []Seen{
		{Partner: "bank", IP: ip("198.51.100.6"), Requests: 9},
		{Partner: "news", IP: ip("198.51.100.2"), Requests: 1},
		{Partner: "news", IP: ip("198.51.100.1"), Requests: 9, Refused: 3},
		{Partner: "bank", IP: ip("198.51.100.1"), Requests: 1},
		{Partner: "bank", IP: ip("198.51.100.5"), Requests: 1},
		{Partner: "shop", IP: ip("198.51.100.6"), Requests: 1},
	}))
	want := `partner:bank: 198.51.100.1 is seen and was never told to this partner
partner:bank: 198.51.100.5 proxy-a-1-1 is seen and is announced in the document
partner:news: 198.51.100.1 nat-a-1 was refused 3 of 9 times: the partner does not list it
partner:shop: 198.51.100.6 sees an IP and no IP of the document concerns it`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
