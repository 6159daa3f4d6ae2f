package allowlist

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func nat(ip string, state State, partners ...string) Entry {
	return Entry{IP: netip.MustParseAddr(ip), Cloud: "local", Zone: "a", Kind: KindNat, Slot: "nat-1", State: state, Partners: partners}
}

func proxy(ip string, state State, partners ...string) Entry {
	return Entry{IP: netip.MustParseAddr(ip), Cloud: "aws", Region: "eu-west-1", Zone: "eu-west-1a", Kind: KindProxy, Slot: "proxy-a-1", State: state, Partners: partners}
}

func build(t *testing.T, serial uint64, entries ...Entry) Document {
	t.Helper()
	d, err := Build("local", serial, entries)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// example has an IP of every kind and state.
func example(t *testing.T) Document {
	return build(t, 7,
		proxy("198.51.100.130", StateActive, "shop", "payments", "shop"),
		proxy("198.51.100.129", StateDraining, "payments"),
		nat("198.51.100.9", StateActive, "news"),
		nat("198.51.100.10", StateReserved),
		proxy("198.51.100.131", StateAnnounced),
		nat("198.51.100.1", StateRetired, "news"),
	)
}

func TestBuildSortsAndLeavesItsInputAlone(t *testing.T) {
	entries := []Entry{proxy("198.51.100.130", StateActive, "b", "a"), nat("198.51.100.9", StateActive), nat("198.51.100.10", StateActive)}
	before := slices.Clone(entries[0].Partners)
	d := build(t, 1, entries...)
	if got := strings.Fields(lines(d.IPs())); !slices.Equal(got, []string{"198.51.100.9", "198.51.100.10", "198.51.100.130"}) {
		t.Errorf("order %v", got)
	}
	if !slices.Equal(d.Entries[2].Partners, []string{"a", "b"}) || !slices.Equal(entries[0].Partners, before) || d.Entries[0].Partners == nil {
		t.Errorf("partners %v, the caller's %v", d.Entries[2].Partners, entries[0].Partners)
	}
}

func TestAnIncompleteListIsWithheld(t *testing.T) {
	whole := proxy("198.51.100.130", StateActive)
	hole := whole
	hole.IP = netip.Addr{}
	for name, test := range map[string]struct {
		entries []Entry
		want    string
	}{
		"an entry without IP":       {[]Entry{whole, hole}, `entries[0].ip: is missing for slot "proxy-a-1"; create the address`},
		"an IP that stands for two": {[]Entry{whole, whole}, `entries[1].ip: must be unique and entries[0] has the same, got 198.51.100.130`},
		"nothing at all":            {nil, `entries: needs at least 1 entry`},
	} {
		d, err := Build("local", 1, test.entries)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), test.want) || d.Entries != nil {
			t.Errorf("%s: %v, %+v, want %s", name, err, d, test.want)
		}
	}
	if _, err := Build("local", 0, []Entry{whole}); err == nil || errors.Is(err, ErrIncomplete) {
		t.Errorf("another problem counts as incomplete: %v", err)
	}
}

func TestWrongEntriesAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Entry)
		want   string
	}{
		"a private IP":       {func(e *Entry) { e.IP = netip.MustParseAddr("10.0.0.1") }, "entries[0].ip: must be a public address, got 10.0.0.1; partners never see this one"},
		"the metadata IP":    {func(e *Entry) { e.IP = netip.MustParseAddr("169.254.169.254") }, "must be a public address"},
		"loopback":           {func(e *Entry) { e.IP = netip.MustParseAddr("127.0.0.1") }, "must be a public address"},
		"multicast":          {func(e *Entry) { e.IP = netip.MustParseAddr("224.0.0.1") }, "must be a public address"},
		"the unspecified IP": {func(e *Entry) { e.IP = netip.MustParseAddr("0.0.0.0") }, "must be a public address"},
		"IPv4 in IPv6":       {func(e *Entry) { e.IP = netip.MustParseAddr("::ffff:198.51.100.1") }, "must be a plain IPv4 or IPv6 address"},
		"an IP with a zone":  {func(e *Entry) { e.IP = netip.MustParseAddr("2001:db8::1%eth0") }, "must be a plain IPv4 or IPv6 address"},
		"an unknown cloud":   {func(e *Entry) { e.Cloud = "moon" }, `entries[0].cloud: is unknown, got "moon"; use one of aws, gcp, local`},
		"an unknown kind":    {func(e *Entry) { e.Kind = "proxi" }, `entries[0].kind: is unknown, got "proxi"; did you mean "proxy"?`},
		"an unknown state":   {func(e *Entry) { e.State = "gone" }, `entries[0].state: is unknown, got "gone"`},
		"no region":          {func(e *Entry) { e.Region = "" }, "entries[0].region: is required outside of stack local"},
		"a zone in capitals": {func(e *Entry) { e.Zone = "A" }, "entries[0].zone: must be a DNS label"},
		"a slot as formula":  {func(e *Entry) { e.Slot = "=1+1" }, "entries[0].slot: must be a DNS label"},
		"a partner of two":   {func(e *Entry) { e.Partners = []string{"a b"} }, "entries[0].partners[0]: must be a DNS label"},
	} {
		t.Run(name, func(t *testing.T) {
			e := proxy("198.51.100.130", StateActive)
			test.change(&e)
			if _, err := Build("local", 1, []Entry{e}); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s and nothing else", err, test.want)
			}
		})
	}
	if _, err := Build("a stack", 0, []Entry{proxy("198.51.100.130", "x")}); err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("want all three problems, got %v", err)
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[Format]string{
		FormatText:   "198.51.100.9\n198.51.100.10\n198.51.100.129\n198.51.100.130\n198.51.100.131\n",
		FormatCIDR:   "198.51.100.9/32\n198.51.100.10/32\n198.51.100.129/32\n198.51.100.130/32\n198.51.100.131/32\n",
		FormatBlocks: "198.51.100.9/32\n198.51.100.10/32\n198.51.100.129/32\n198.51.100.130/31\n",
		FormatCSV: `ip,cloud,region,zone,kind,slot,state,partners,listed,active,expected
198.51.100.9,local,,a,nat,nat-1,active,news,,,
198.51.100.10,local,,a,nat,nat-1,reserved,,,,
198.51.100.129,aws,eu-west-1,eu-west-1a,proxy,proxy-a-1,draining,payments,,,
198.51.100.130,aws,eu-west-1,eu-west-1a,proxy,proxy-a-1,active,payments shop,,,
198.51.100.131,aws,eu-west-1,eu-west-1a,proxy,proxy-a-1,announced,,,,
`,
	} {
		if got, err := example(t).Render(format); err != nil || got != want {
			t.Errorf("%s: %v, got\n%swant\n%s", format, err, got, want)
		}
	}
	if _, err := example(t).Render("xml"); err == nil || err.Error() != `format: is unknown, got "xml"; use one of aws-prefix-list, blocks, cidr, csv, json, nft, nginx, terraform, text` {
		t.Error(err)
	}
}

func TestJSONIsReadBackTheSame(t *testing.T) {
	d := example(t)
	text, err := d.Render(FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, `"state": "retired"`) {
		t.Error("JSON leaves out what partners may remove")
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range []string{text, string(quoted)} {
		if again, err := Parse([]byte(input)); err != nil || !reflect.DeepEqual(d, again) {
			t.Errorf("was    %+v\nbecame %+v, %v", d, again, err)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	good, err := example(t).Render(FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"an unknown key":      {`"serial": 7`, `"serial": 7, "extra": 1`, `extra: unknown key "extra"`},
		"a key given twice":   {`"serial": 7`, `"serial": 7, "serial": 8`, `serial: must not be given twice`},
		"a newer version":     {`"version": 2`, `"version": 3`, `version: must be 1 to 2, got 3; use the release`},
		"a negative serial":   {`"serial": 7`, `"serial": -7`, `serial: needs a whole number that is not negative, got -7`},
		"no serial":           {`"serial": 7`, `"serial": 0`, `serial: must be at least 1, got 0`},
		"no address":          {`"198.51.100.9"`, `"198.51.100.999"`, `entries[1].ip: needs an IP address, got "198.51.100.999"`},
		"an empty address":    {`"198.51.100.9"`, `""`, `entries[1].ip: needs an IP address, got ""`},
		"the same IP again":   {`"198.51.100.9"`, `"198.51.100.10"`, `is incomplete and is withheld`},
		"a text for the list": {`"entries": [`, `"entries": "", "x": [`, `entries: needs a list, got ""`},
		"half a document":     {`"entries": [`, ``, `needs JSON: `},
	} {
		t.Run(name, func(t *testing.T) {
			input := strings.Replace(good, test.old, test.new, 1)
			if input == good {
				t.Fatal("nothing was changed")
			}
			if _, err := Parse([]byte(input)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	for _, input := range []string{"", "null", "[]", "7", `"x"`, `"\"\\\"x\\\"\""`, strings.Repeat("[", 1<<20), strings.Repeat(" ", 10<<20)} {
		if _, err := Parse([]byte(input)); err == nil {
			t.Errorf("%.20q was accepted", input)
		}
	}
}

func TestAPartnerSeesItsIPsAndTheHeadroomOfItsKinds(t *testing.T) {
	for partner, want := range map[string]string{
		"payments": "198.51.100.129 198.51.100.130 198.51.100.131",
		"shop":     "198.51.100.130 198.51.100.131",
		"news":     "198.51.100.1 198.51.100.9 198.51.100.10",
	} {
		d, err := example(t).ForPartner(partner)
		if got := strings.Join(strings.Fields(lines(d.IPs())), " "); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", partner, got, err, want)
		}
		for _, e := range d.Entries {
			if !slices.Equal(e.Partners, []string{partner}) {
				t.Errorf("%s learns of %v", partner, e.Partners)
			}
		}
	}
	if got := example(t).Entries[5]; len(got.Partners) != 0 {
		t.Errorf("the document was changed: %+v", got)
	}
}

func TestAnUnknownPartnerIsAnErrorAndNoEmptyList(t *testing.T) {
	if _, err := example(t).ForPartner("payment"); err == nil || err.Error() != `partner: must be one that the list serves, got "payment"; did you mean "payments"?` {
		t.Error(err)
	}
	if _, err := build(t, 1, nat("198.51.100.9", StateActive)).ForPartner("x"); err == nil {
		t.Error("a list without partners serves x")
	}
}

func TestDiff(t *testing.T) {
	before := example(t)
	changed := slices.Clone(before.Entries)
	changed[2].State = StateActive                                      // .10 reserved -> active
	changed[3].State = StateRetired                                     // .129 draining -> retired
	changed[4].Partners = []string{"payments"}                          // .130 loses shop
	changed = append(changed[1:], proxy("198.51.100.200", StateActive)) // .1 (retired) gone
	difference := Diff(before, build(t, 8, changed...))
	want := `serial 7 -> 8
+ 198.51.100.200  proxy proxy-a-1 active
- 198.51.100.1  nat nat-1 retired for news
~ 198.51.100.10  state reserved -> active
~ 198.51.100.129  state draining -> retired
~ 198.51.100.130  partners payments shop -> payments
partners add: 198.51.100.200
partners may remove: 198.51.100.129
warning: 198.51.100.200 is new and active at once: partners had no time to list it
`
	if got := difference.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDiffWarnsOfWhatShouldNotHappen(t *testing.T) {
	before := example(t)
	for name, test := range map[string]struct {
		serial  uint64
		stack   string
		entries []Entry
		want    string
	}{
		"a serial that stays":     {7, "local", before.Entries[1:], "the entries differ and the serial did not rise: 7 and 7"},
		"a serial that falls":     {6, "local", before.Entries[1:], "did not rise: 7 and 6"},
		"an active IP removed":    {8, "local", before.Entries[2:], "198.51.100.9 was removed while active"},
		"documents of two stacks": {8, "prod", before.Entries[1:], "different stacks: local and prod"},
	} {
		after, err := Build(test.stack, test.serial, test.entries)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Diff(before, after).Warnings, "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestEqualDocumentsDoNotDiffer(t *testing.T) {
	before, after := example(t), example(t)
	after.Serial++
	if d := Diff(before, after); !d.Empty() || d.String() != "" || len(d.Warnings) != 0 || d.Added == nil || d.Removed == nil || d.Changed == nil {
		t.Errorf("%+v", d)
	}
}

// contained reports the addresses of a network, which must be small.
func contained(network netip.Prefix) []netip.Addr {
	var ips []netip.Addr
	for ip := network.Addr(); network.Contains(ip); ip = ip.Next() {
		ips = append(ips, ip)
	}
	return ips
}

func TestBlocksHoldExactlyTheIPsAndAreAsFewAsPossible(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		ours := map[netip.Addr]bool{}
		for range r.IntN(40) {
			ours[netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(64))})] = true
		}
		var ips []netip.Addr
		for ip := range ours {
			ips = append(ips, ip)
		}
		slices.SortFunc(ips, netip.Addr.Compare)
		var covered []netip.Addr
		blocks := Collapse(ips)
		for _, block := range blocks {
			if block != block.Masked() {
				t.Fatalf("%s has host bits", block)
			}
			covered = append(covered, contained(block)...)
		}
		if !slices.Equal(covered, ips) {
			t.Fatalf("%v became %v", ips, blocks)
		}
		if want := fewest(ours, netip.MustParsePrefix("198.51.100.0/26")); len(blocks) != want {
			t.Fatalf("%v became %v, %d would do", ips, blocks, want)
		}
	}
}

// fewest counts the networks of a minimal cover from above: a whole network, or what its halves need.
func fewest(ours map[netip.Addr]bool, network netip.Prefix) int {
	missing, found := false, false
	for _, ip := range contained(network) {
		if ours[ip] {
			found = true
		} else {
			missing = true
		}
	}
	if !found {
		return 0
	}
	if !missing {
		return 1
	}
	low := netip.PrefixFrom(network.Addr(), network.Bits()+1)
	upper := contained(network)[len(contained(network))/2]
	return fewest(ours, low) + fewest(ours, netip.PrefixFrom(upper, network.Bits()+1))
}

func TestCollapseAtTheEdges(t *testing.T) {
	for want, ips := range map[string][]string{
		"":                                {},
		"0.0.0.0/31":                      {"0.0.0.0", "0.0.0.1"},
		"255.255.255.254/31":              {"255.255.255.254", "255.255.255.255"},
		"198.51.100.1/32 198.51.100.2/32": {"198.51.100.1", "198.51.100.2"},
		"198.51.100.0/30":                 {"198.51.100.0", "198.51.100.1", "198.51.100.2", "198.51.100.3"},
		"198.51.100.7/32 2001:db8::/127":  {"198.51.100.7", "2001:db8::", "2001:db8::1"},
	} {
		var parsed []netip.Addr
		for _, ip := range ips {
			parsed = append(parsed, netip.MustParseAddr(ip))
		}
		if got := strings.Join(strings.Fields(lines(Collapse(parsed))), " "); got != want {
			t.Errorf("%v: %s, want %s", ips, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"stack":"local","serial":3,"entries":[{"ip":"198.51.100.7","cloud":"local","region":"","kind":"nat","slot":"nat-a","state":"active","partners":["p"]}]}`))
	f.Add([]byte(`{"version":1,"stack":"s","serial":1e3,"entries":[{"ip":"2001:db8::1","cloud":"gcp","region":"r","kind":"proxy","slot":"x","state":"retired","partners":null}]}`))
	f.Add([]byte(`"{}"`))
	f.Add([]byte(`{"entries":[{"ip":"::%"},{"ip":1},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		for _, format := range Formats {
			text, err := d.Render(format)
			if err != nil {
				t.Fatal(err)
			}
			if format != FormatJSON {
				continue
			}
			if again, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(d, again) {
				t.Fatalf("was    %+v\nbecame %+v, %v", d, again, err)
			}
		}
		if difference := Diff(d, d); !difference.Empty() {
			t.Fatalf("differs from itself: %v", difference)
		}
		var ours []netip.Prefix
		for _, ip := range d.Listed().IPs() {
			ours = append(ours, netip.PrefixFrom(ip, ip.BitLen()))
		}
		if blocks := Collapse(d.Listed().IPs()); len(blocks) > len(ours) {
			t.Fatalf("%d blocks for %d IPs", len(blocks), len(ours))
		}
	})
}
