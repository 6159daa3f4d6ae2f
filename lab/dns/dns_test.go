package dns

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if that is meant, run `make golden`. got:\n%s", path, got)
	}
}

func zone() Zone {
	return Zone{Serial: 7, Records: []Record{
		{Name: "api.partner.example.com", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("203.0.113.1")}, TTL: 30},
		{Name: "*.tenants.example.net", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.3")}, TTL: 5},
	}}
}

func TestZoneFile(t *testing.T) {
	text, err := zone().Render()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "zone.golden", text)
	swapped := zone()
	swapped.Records[0], swapped.Records[1] = swapped.Records[1], swapped.Records[0]
	if other, err := swapped.Render(); err != nil || other != text {
		t.Errorf("another order gives another file: %v\n%s", err, other)
	}
}

func TestZoneFileIsWhatAParserReads(t *testing.T) {
	text, err := zone().Render()
	if err != nil {
		t.Fatal(err)
	}
	parser := miekg.NewZoneParser(strings.NewReader(text), ".", "")
	kinds := map[uint16]int{}
	for record, ok := parser.Next(); ok; record, ok = parser.Next() {
		kinds[record.Header().Rrtype]++
		if soa, ok := record.(*miekg.SOA); ok && (soa.Serial != 7 || soa.Minttl != NegativeTTL) {
			t.Errorf("got %v", soa)
		}
	}
	if err := parser.Err(); err != nil || kinds[miekg.TypeSOA] != 1 || kinds[miekg.TypeA] != 3 {
		t.Errorf("got %v, %v", kinds, err)
	}
}

func TestBadZonesNameEveryProblem(t *testing.T) {
	_, err := Zone{Records: []Record{
		{Name: "a.example.com", TTL: 30},
		{Name: "a.example.com", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, TTL: 0},
		{Name: "b; evil", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, TTL: MaxTTL + 1},
	}}.Render()
	if err == nil {
		t.Fatal("accepted")
	}
	want := `zone: records[0]: addresses: needs at least 1, got 0
zone: records[1]: name: must be unique, got "a.example.com" twice; join the addresses
zone: records[1]: addresses: must be IPv4, got "2001:db8::1"
zone: records[1]: ttl: must be 1 to 86400 seconds, got 0
zone: records[2]: name: must be a DNS name, got "b; evil"
zone: records[2]: ttl: must be 1 to 86400 seconds, got 86401`
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
}

func TestCorefile(t *testing.T) {
	text, err := Corefile("/run/lab/zone", netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("192.0.2.53"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "corefile.golden", text)
	for _, bad := range []string{"", "/run/a b", "/run/{x}", "/run/x\nlog"} {
		if _, err := Corefile(bad, netip.MustParseAddr("10.0.0.2")); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	if _, err := Corefile("/run/lab/zone"); err == nil {
		t.Error("no address: accepted")
	}
}

// FuzzZone looks for names that break out of their line of the zone file.
func FuzzZone(f *testing.F) {
	f.Add("a.example.com")
	f.Add("*.x")
	f.Add("a\\010. 1 IN A 10.0.0.1")
	f.Fuzz(func(t *testing.T, name string) {
		text, err := Zone{Serial: 1, Records: []Record{{Name: name, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, TTL: 1}}}.Render()
		if err != nil {
			return
		}
		parser := miekg.NewZoneParser(strings.NewReader(text), ".", "")
		addresses := 0
		for record, ok := parser.Next(); ok; record, ok = parser.Next() {
			if record.Header().Rrtype == miekg.TypeA {
				addresses++
			}
		}
		if addresses > 1 {
			t.Errorf("%q makes %d records", name, addresses)
		}
	})
}
