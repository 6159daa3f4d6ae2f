package aws

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
)

func TestPick(t *testing.T) {
	section := stack.AWSAddresses{Block: netip.MustParsePrefix("203.0.113.8/29"), Existing: map[string]string{"nat-b-1": "eipalloc-00000001"}}
	lives := []allowlist.Life{{Name: "nat-a-1"}, {Name: "nat-a-2"}, {Name: "nat-b-1"}, {Name: "nat-reserve-1"}}
	previous := &allowlist.Document{Entries: []allowlist.Entry{
		{IP: netip.MustParseAddr("203.0.113.9"), Slot: "nat-a-2"},
		{IP: netip.MustParseAddr("203.0.113.8"), Slot: "nat-a-3", Address: "nat-reserve-1"},
		{IP: netip.MustParseAddr("198.51.100.1"), Slot: "nat-gone-1"},
	}}
	got, err := pick(section, lives, previous)
	if err != nil {
		t.Fatal(err)
	}
	// The new one gets the lowest that is free, the others keep theirs, the one that was brought has its own.
	want := map[string]string{"nat-a-1": "203.0.113.10", "nat-a-2": "203.0.113.9", "nat-reserve-1": "203.0.113.8"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, err := pick(stack.AWSAddresses{}, lives, previous); got != nil || err != nil {
		t.Errorf("without a block: %v, %v", got, err)
	}
	section.Block = netip.MustParsePrefix("203.0.113.8/31")
	if _, err := pick(section, lives, previous); err == nil {
		t.Error("a block without room was accepted")
	}
}

func TestPrimaryFirst(t *testing.T) {
	for _, c := range []struct {
		names   []string
		primary string
		want    []string
	}{
		{[]string{"a", "b", "c"}, "", []string{"a", "b", "c"}},
		{[]string{"a", "b", "c"}, "a", []string{"a", "b", "c"}},
		{[]string{"a", "b", "c"}, "c", []string{"c", "a", "b"}},
		{[]string{"a", "b"}, "gone", []string{"a", "b"}},
	} {
		if got := primaryFirst(c.names, c.primary); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v with primary %q: got %v, want %v", c.names, c.primary, got, c.want)
		}
	}
}

func TestAGatewayWhosePrimaryAddressGoesIsAnnounced(t *testing.T) {
	gateways := []gateway{{"a", []string{"nat-a-1", "nat-a-2"}}, {"b", []string{"nat-reserve-1"}}, {"c", []string{"nat-c-1"}}}
	got := replaced(gateways, map[string]string{"a": "nat-a-1", "b": "nat-b-1"})
	if len(got) != 1 || !strings.HasPrefix(got[0], "b: its NAT gateway is replaced, because nat-b-1") {
		t.Errorf("got %q", got)
	}
}
