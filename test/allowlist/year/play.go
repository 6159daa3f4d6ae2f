package year

import (
	"encoding/json"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
)

// Play is the year.
func (y *Year) Play() {
	nat, proxy := allowlist.KindNat, allowlist.KindProxy
	y.Up()
	y.is(nat, "nat-a-1 active", "nat-b-1 active", "nat-reserve-1 reserved")
	y.is(proxy, "proxy-a-1-1 active", "proxy-b-1-1 active", "proxy-reserve-1 reserved")

	y.Until(5)
	y.operatorTriesEverything()

	y.Until(10)
	y.does(`waits for partner shop, until 2026-01-31 at the latest`, "confirm", "nat-reserve-1", "--partner", "bank")
	y.mayNot("must not be done twice, bank confirmed on 2026-01-11", "confirm", "nat-reserve-1", "--partner", "bank")
	y.mayNot("nat-reserve-1 may from 2026-01-31 on; or let partner shop confirm it", "drain", "nat-eu-west-1a-1")

	y.grow()
	y.rotate()
	y.addAZone()
	y.removeAZone()
	y.Until(364)
	y.Up()
	y.serialsRise()
}

// operatorTriesEverything takes each illegal step, by command and by hand. Day 5.
func (y *Year) operatorTriesEverything() {
	for _, refusal := range []struct {
		want string
		step []string
	}{
		{"IP: must be an IP, an address or a slot of the allow list", []string{"drain", "nat-eu-west-1c-1"}},
		{"must be an IP before its use, this one is active", []string{"announce", "nat-eu-west-1a-1"}},
		{"must not be done twice, it carries traffic since 2026-01-01", []string{"activate", "nat-eu-west-1a-1"}},
		{"must wait for partners bank and shop, until 2026-01-31 at the latest", []string{"activate", "nat-reserve-1"}},
		{"must wait for partners bank and shop, until 2026-01-31", []string{"activate", "nat-reserve-1", "--slot", "nat-eu-west-1c-1"}},
		{"must wait for an IP that may take over nat-eu-west-1a-1: nat-reserve-1 may from 2026-01-31 on", []string{"drain", "nat-eu-west-1a-1"}},
		{"must be an IP that carries traffic, this one is reserved", []string{"drain", "nat-reserve-1"}},
		{"must have drained, this one carries traffic; drain it first; it can be retired from 2026-01-13 on", []string{"retire", "nat-eu-west-1a-1"}},
		{"must be retired in the document that partners have, this one is active", []string{"retire", "nat-eu-west-1a-1", "--release"}},
		{"must be retired in the document that partners have, this one is reserved; retire it first", []string{"retire", "nat-reserve-1", "--release"}},
		{`--partner: must be a partner whom the IP concerns, got "shop"`, []string{"confirm", "proxy-reserve-1", "--partner", "shop"}},
		{`--partner: must be a partner whom the IP concerns, got "bnak"; did you mean "bank"?`, []string{"confirm", "nat-reserve-1", "--partner", "bnak"}},
		{`required flag(s) "partner" not set`, []string{"confirm", "nat-reserve-1"}},
	} {
		y.mayNot(refusal.want, refusal.step...)
	}
	const reserve = "    reserve: 1 # one NAT, one proxy\n"
	for byHand, want := range map[string]string{
		"nat-eu-west-1a-1: {draining: 2026-01-06}":           "draining: must wait for an IP that may take over place nat-eu-west-1a-1",
		"nat-eu-west-1a-1: {retired: 2026-01-06}":            "retired: must wait for an IP that may take over",
		"nat-eu-west-1a-1: {released: 2026-01-06}":           "must wait for an IP that may take over",
		"nat-reserve-1: {released: 2026-01-06}":              "released: must be an IP that the last document calls retired",
		"nat-reserve-1: {confirmed: {bank: 2026-02-01}}":     "confirmed.bank: must not lie in the future",
		"nat-eu-west-9z-1: {draining: 2026-01-06}":           "must be an address of the stack",
		"nat-reserve-1: {slot: nat-eu-west-1c-1, active: x}": "active: needs a day",
	} {
		if y.Brief && !strings.HasPrefix(byHand, "nat-eu-west-1a-1: {draining") {
			continue
		}
		y.edit(reserve, reserve+"    ips: {"+byHand+"}\n")
		y.UpFails(want)
		y.edit("    ips: {"+byHand+"}\n", "")
	}
}

// grow needs a second IP in each zone. Days 29 to 59.
func (y *Year) grow() {
	y.Until(29)
	y.edit("connectionsPerSecond: 100}", "connectionsPerSecond: 2500}")
	y.Up() // the headroom is from day 0: the shop has one more day
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 announced", "nat-reserve-2 reserved")
	y.mayNot("must wait for partner shop, until 2026-01-31 at the latest", "activate", "nat-eu-west-1a-2")
	y.mayNot("must be an IP that nobody needs, this one is to serve nat-eu-west-1b-2", "retire", "nat-eu-west-1b-2")
	y.Until(30)
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
	y.Until(45)
	y.does("waits for partner shop, until 2026-03-01 at the latest", "confirm", "nat-eu-west-1b-2", "--partner", "bank")
	y.mayNot("must wait for partner shop, until 2026-03-01", "activate", "nat-eu-west-1b-2")
	y.more()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
	y.Until(59)
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 active", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
}

// rotate replaces an IP by headroom, and gives the old one back. Days 90 to 99.
func (y *Year) rotate() {
	y.Until(90)
	old := y.ip("nat-eu-west-1b-2")
	y.does("nat-reserve-2 takes over nat-eu-west-1b-2 with the next update; partners may remove this IP from 2026-04-08 on", "drain", "nat-eu-west-1b-2")
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 draining", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.Until(96)
	y.mayNot("IP: must mean one IP", "retire", "nat-eu-west-1b-2") // the address that drains, or the slot that another one serves now
	y.mayNot("must have drained, this one drains until 2026-04-08; wait until then", "retire", old)
	y.mayNot("must be an IP that comes into use, this one drains since 2026-04-01", "activate", old)
	y.mayNot("must be retired in the document that partners have, this one is draining; it can be retired from 2026-04-08 on", "retire", old, "--release")
	y.Until(97)
	y.mayNot("must be retired in the document that partners have, this one is draining", "retire", old, "--release")
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 retired", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.Until(98)
	y.mayNot("must be an IP that partners list, this one was retired on 2026-04-08", "activate", old)
	y.mayNot("must be an IP that is to be listed, this one is retired", "confirm", old, "--partner", "bank")
	y.does("the next update takes its protection away, the one after gives it back", "retire", old, "--release")
	y.mayNot("must not be done twice, it was released on 2026-04-09", "retire", old, "--release")
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.Until(99)
	y.Up()
}

// addAZone brings a zone whose NAT and proxy wait for the partners: one IP of each kind is headroom that they know. Days 150 to 180.
func (y *Year) addAZone() {
	y.Until(150)
	y.edit("zones: [eu-west-1a, eu-west-1b]", "zones: [eu-west-1a, eu-west-1b, eu-west-1c]")
	y.Up()
	waits := []string{"nat-a-1 active", "nat-b-1 active", "nat-c-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3@nat-c-1 active", "nat-reserve-4 reserved"}
	y.is(allowlist.KindNat, waits...)
	y.is(allowlist.KindProxy, "proxy-a-1-1 active", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.Until(179)
	y.more()
	y.is(allowlist.KindNat, waits...)
	y.Until(180)
	if d, ok := y.d.(Judged); ok {
		d.TooEarly(y.now)
	}
	y.Up()
	waits[2] = "nat-c-2 active"
	y.is(allowlist.KindNat, waits...)
}

// removeAZone keeps the zone's IPs on the lists until nobody can come from them. Days 200 to 220.
func (y *Year) removeAZone() {
	y.Until(200)
	y.edit("zones: [eu-west-1a, eu-west-1b, eu-west-1c]", "zones: [eu-west-1b, eu-west-1c]")
	y.Up()
	y.is(allowlist.KindNat, "nat-a-1 draining", "nat-b-1 active", "nat-c-2 active", "nat-reserve-1@nat-a-2 draining", "nat-reserve-2@nat-b-2 active", "nat-reserve-3@nat-c-1 active", "nat-reserve-4 reserved")
	y.is(allowlist.KindProxy, "proxy-a-1-1 draining", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.Until(206)
	y.more()
	y.is(allowlist.KindProxy, "proxy-a-1-1 draining", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.Until(207)
	y.Up()
	y.is(allowlist.KindProxy, "proxy-a-1-1 retired", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
}

func (y *Year) serialsRise() {
	y.t.Helper()
	for i, d := range y.documents[1:] {
		if d.Serial <= y.documents[i].Serial {
			y.t.Errorf("serial %d after %d", d.Serial, y.documents[i].Serial)
		}
	}
	log, err := allowlist.ChangelogOf(y.documents...)
	if err != nil {
		y.t.Fatal(err)
	}
	replayed, err := y.documents[0].Replay(log)
	if err != nil {
		y.t.Fatal(err)
	}
	got, _ := json.Marshal(replayed)
	want, _ := json.Marshal(y.documents[len(y.documents)-1])
	if string(got) != string(want) {
		y.t.Errorf("the changelog leads to\n%s\nwant\n%s", got, want)
	}
	y.t.Logf("%d documents in a year", len(y.documents))
}
