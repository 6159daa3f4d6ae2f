package allowlist

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
)

// born is the first day of the year.
var born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stackConfig is the stack on its first day: two zones, a NAT in each that both partners see, a fleet that one of them sees. The bank has
// two weeks to list an IP, the shop, which never answers, 30 days.
const stackConfig = `# The life of one stack.
config:
  pulumi:disable-default-providers: ["*"]
  sallyport:cloud: aws
  sallyport:preflight: "off"
  sallyport:cluster:
    zones: [eu-west-1a, eu-west-1b]
    nodes: 6
  sallyport:nat: {maxIPsPerGateway: 8}
  sallyport:proxies: {sparePerZone: 0}
  sallyport:destinations:
    - {name: rates, hosts: [rates.example.net], partner: bank, demand: {connectionsPerSecond: 100}}
    - {name: orders, hosts: [orders.example.org], partner: shop, demand: {connectionsPerSecond: 5}}
    - {name: payments, hosts: [pay.example.com], route: proxy, partner: bank, demand: {connectionsPerSecond: 50}}
  # What partners were promised.
  sallyport:allowlist:
    reserve: 1 # one NAT, one proxy
    notice: {default: 14d, shop: 30d}
  sallyport:aws:
    region: eu-west-1
    vpc: {cidr: 10.64.0.0/16}
    fleet: {digest: "sha256:5a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f0475a11f047"}
    clients: {cidrs: [10.64.0.0/16]}
`

// deployment is what runs the stack: it applies the stack file and says which public IPs carry traffic now.
type deployment interface {
	// up applies the stack file. An error is one that the operator sees, and nothing has changed.
	up(now time.Time) error
	// document is the output allowlist, as JSON.
	document() []byte
	// carrying are the IPs that carry traffic, by kind.
	carrying() map[netip.Addr]allowlist.Kind
	// file is the stack file.
	file() string
}

// year is a stack with its partners while time goes by.
type year struct {
	t         *testing.T
	d         deployment
	sallyport string // the command line
	now       time.Time
	partners  map[string]*partner
	documents []allowlist.Document
	brief     bool // updates take seconds: those that show what others have shown are left out
}

// partner enforces a list. A prompt one lists what a document shows at once, the other on the last day of its notice. Both remove an IP on
// the day on which they learn that they may.
type partner struct {
	kinds  []allowlist.Kind // of the IPs that it sees
	prompt bool
	notice time.Duration
	told   map[netip.Addr]time.Time
	list   map[netip.Addr]bool
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sallyport-year-")
	if err != nil {
		return "", err
	}
	cleanup = append(cleanup, dir)
	path := filepath.Join(dir, "sallyport")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/sallyport").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// cleanup are the folders to remove at the end.
var cleanup []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range cleanup {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func newYear(t *testing.T, d deployment) *year {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	both := []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy}
	return &year{t: t, d: d, sallyport: path, now: born, partners: map[string]*partner{
		"bank": {kinds: both, prompt: true, notice: 14 * 24 * time.Hour, told: map[netip.Addr]time.Time{}, list: map[netip.Addr]bool{}},
		"shop": {kinds: both[:1], notice: 30 * 24 * time.Hour, told: map[netip.Addr]time.Time{}, list: map[netip.Addr]bool{}},
	}}
}

// run runs the command line on this day, with the document that was handed out last.
func (y *year) run(args ...string) (output string, code int) {
	y.t.Helper()
	document := filepath.Join(y.t.TempDir(), "allowlist.json")
	if err := os.WriteFile(document, y.d.document(), 0o600); err != nil {
		y.t.Fatal(err)
	}
	cmd := exec.Command(y.sallyport, append(append([]string{"allowlist"}, args...), "--document", document)...)
	cmd.Env = append(os.Environ(), clock.Env+"="+y.now.Format(time.RFC3339))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return out.String(), cmd.ProcessState.ExitCode()
}

// does takes a step that has to be allowed.
func (y *year) does(want string, step ...string) {
	y.t.Helper()
	out, code := y.run(append(step, "--config-file", y.d.file(), "--yes")...)
	if code != 0 || !strings.Contains(out, want) {
		y.t.Fatalf("%s: %v: exit %d\n%s\nwant %s", y.date(), step, code, out, want)
	}
}

// mayNot takes a step that has to be refused, with the reason, and the file has to stay as it is.
func (y *year) mayNot(want string, step ...string) {
	y.t.Helper()
	before := y.read()
	out, code := y.run(append(step, "--config-file", y.d.file(), "--yes")...)
	if code != 2 || !strings.Contains(out, want) {
		y.t.Errorf("%s: %v: exit %d\n%s\nwant %s", y.date(), step, code, out, want)
	}
	if y.read() != before {
		y.t.Errorf("%s: %v: refused, and the file was changed", y.date(), step)
	}
}

func (y *year) date() string { return y.now.Format(time.DateOnly) }

func (y *year) read() string {
	y.t.Helper()
	text, err := os.ReadFile(y.d.file())
	if err != nil {
		y.t.Fatal(err)
	}
	return string(text)
}

// edit changes the stack file by hand.
func (y *year) edit(was, is string) {
	y.t.Helper()
	text := y.read()
	if strings.Count(text, was) != 1 {
		y.t.Fatalf("%s: %q is not once in\n%s", y.date(), was, text)
	}
	if err := os.WriteFile(y.d.file(), []byte(strings.Replace(text, was, is, 1)), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

// up is an update, after which partners learn of what it handed out.
func (y *year) up() {
	y.t.Helper()
	if err := y.d.up(y.now); err != nil {
		y.t.Fatalf("%s: up: %v", y.date(), err)
	}
	document, err := allowlist.Parse(y.d.document())
	if err != nil {
		y.t.Fatal(err)
	}
	if n := len(y.documents); n == 0 || y.documents[n-1].Serial != document.Serial {
		y.documents = append(y.documents, document)
	}
	for name, p := range y.partners {
		p.learn(y, name)
	}
	y.check()
}

// more is an update that changes nothing.
func (y *year) more() {
	y.t.Helper()
	if !y.brief {
		y.up()
	}
}

// upFails is an update that has to be refused with the reason.
func (y *year) upFails(want string) {
	y.t.Helper()
	before := y.d.document()
	if err := y.d.up(y.now); err == nil || !strings.Contains(err.Error(), want) {
		y.t.Errorf("%s: up: %v, want %s", y.date(), err, want)
	}
	if !bytes.Equal(before, y.d.document()) {
		y.t.Errorf("%s: a refused update handed out a document", y.date())
	}
	y.check()
}

// publisher is a deployment that puts lists where partners fetch them.
type publisher interface {
	// networks is a partner's list, one network to a line.
	networks(partner string) string
}

// networks is the partner's own view of the document, as the partner gets it: fetched, or from the command line.
func (y *year) networks(name string) string {
	y.t.Helper()
	if p, ok := y.d.(publisher); ok {
		return p.networks(name)
	}
	out, code := y.run("--partner", name, "--format", "cidr")
	if code != 0 {
		y.t.Fatalf("%s: %s", y.date(), out)
	}
	return out
}

// learn reads the partner's list.
func (p *partner) learn(y *year, name string) {
	y.t.Helper()
	listed := map[netip.Addr]bool{}
	for _, line := range strings.Fields(y.networks(name)) {
		network := netip.MustParsePrefix(line)
		for ip := network.Addr(); network.Contains(ip); ip = ip.Next() {
			listed[ip] = true
			if _, known := p.told[ip]; !known {
				p.told[ip] = y.now
			}
		}
	}
	first := y.now.Equal(born) // there was no list before, and no traffic
	maps.DeleteFunc(p.told, func(ip netip.Addr, _ time.Time) bool { return !listed[ip] })
	maps.DeleteFunc(p.list, func(ip netip.Addr, _ bool) bool { return !listed[ip] })
	for ip := range p.told {
		if p.prompt || first {
			p.list[ip] = true
		}
	}
}

// until lets days go by up to one, counted from the first.
func (y *year) until(day int) {
	y.t.Helper()
	for !y.now.Equal(born.AddDate(0, 0, day)) {
		if y.now = y.now.AddDate(0, 0, 1); y.now.After(born.AddDate(0, 0, day)) {
			y.t.Fatalf("day %d is over", day)
		}
		for _, p := range y.partners {
			for ip, told := range p.told {
				if !told.Add(p.notice).After(y.now) {
					p.list[ip] = true
				}
			}
		}
		y.check()
	}
}

// check is the promise: no partner sees an IP that is not on its list, and there always is a way out of each kind.
func (y *year) check() {
	y.t.Helper()
	seen := map[allowlist.Kind]int{}
	for ip, kind := range y.d.carrying() {
		seen[kind]++
		for name, p := range y.partners {
			if slices.Contains(p.kinds, kind) && !p.list[ip] {
				y.t.Fatalf("%s: partner %s sees %s (%s) and does not list it", y.date(), name, ip, kind)
			}
		}
	}
	if seen[allowlist.KindNat] == 0 || seen[allowlist.KindProxy] == 0 {
		y.t.Fatalf("%s: no way out: %v", y.date(), seen)
	}
}

// is checks the lives: "<address>[@<slot>] <state>", sorted.
func (y *year) is(kind allowlist.Kind, want ...string) {
	y.t.Helper()
	document, err := allowlist.Parse(y.d.document())
	if err != nil {
		y.t.Fatal(err)
	}
	var got []string
	for _, l := range document.Lives(y.now) {
		if l.Kind != kind {
			continue
		}
		text := strings.ReplaceAll(l.Name, "eu-west-1", "")
		if l.Slot != l.Name {
			text += "@" + strings.ReplaceAll(l.Slot, "eu-west-1", "")
		}
		got = append(got, text+" "+string(l.State))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		y.t.Fatalf("%s:\ngot  %s\nwant %s", y.date(), strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// ip is the IP of an address.
func (y *year) ip(address string) string {
	y.t.Helper()
	document, err := allowlist.Parse(y.d.document())
	if err != nil {
		y.t.Fatal(err)
	}
	for _, e := range document.Entries {
		if e.Slot == address && e.Address == "" {
			return e.IP.String()
		}
	}
	y.t.Fatalf("%s: no address %s", y.date(), address)
	return ""
}

// play is the year.
func (y *year) play() {
	nat, proxy := allowlist.KindNat, allowlist.KindProxy
	y.up()
	y.is(nat, "nat-a-1 active", "nat-b-1 active", "nat-reserve-1 reserved")
	y.is(proxy, "proxy-a-1-1 active", "proxy-b-1-1 active", "proxy-reserve-1 reserved")

	y.until(5)
	y.operatorTriesEverything()

	y.until(10)
	y.does(`waits for partner shop, until 2026-01-31 at the latest`, "confirm", "nat-reserve-1", "--partner", "bank")
	y.mayNot("must not be done twice, bank confirmed on 2026-01-11", "confirm", "nat-reserve-1", "--partner", "bank")
	y.mayNot("nat-reserve-1 may from 2026-01-31 on; or let partner shop confirm it", "drain", "nat-eu-west-1a-1")

	y.grow()
	y.rotate()
	y.addAZone()
	y.removeAZone()
	y.until(364)
	y.up()
	y.serialsRise()
}

// operatorTriesEverything takes each illegal step, by command and by hand. Day 5.
func (y *year) operatorTriesEverything() {
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
		if y.brief && !strings.HasPrefix(byHand, "nat-eu-west-1a-1: {draining") {
			continue
		}
		y.edit(reserve, reserve+"    ips: {"+byHand+"}\n")
		y.upFails(want)
		y.edit("    ips: {"+byHand+"}\n", "")
	}
}

// grow needs a second IP in each zone. Days 29 to 59.
func (y *year) grow() {
	y.until(29)
	y.edit("connectionsPerSecond: 100}", "connectionsPerSecond: 2500}")
	y.up() // the headroom is from day 0: the shop has one more day
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 announced", "nat-reserve-2 reserved")
	y.mayNot("must wait for partner shop, until 2026-01-31 at the latest", "activate", "nat-eu-west-1a-2")
	y.mayNot("must be an IP that nobody needs, this one is to serve nat-eu-west-1b-2", "retire", "nat-eu-west-1b-2")
	y.until(30)
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
	y.until(45)
	y.does("waits for partner shop, until 2026-03-01 at the latest", "confirm", "nat-eu-west-1b-2", "--partner", "bank")
	y.mayNot("must wait for partner shop, until 2026-03-01", "activate", "nat-eu-west-1b-2")
	y.more()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
	y.until(59)
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 active", "nat-reserve-1@nat-a-2 active", "nat-reserve-2 reserved")
}

// rotate replaces an IP by headroom, and gives the old one back. Days 90 to 99.
func (y *year) rotate() {
	y.until(90)
	old := y.ip("nat-eu-west-1b-2")
	y.does("nat-reserve-2 takes over nat-eu-west-1b-2 with the next update; partners may remove this IP from 2026-04-08 on", "drain", "nat-eu-west-1b-2")
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 draining", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.until(96)
	y.mayNot("IP: must mean one IP", "retire", "nat-eu-west-1b-2") // the address that drains, or the slot that another one serves now
	y.mayNot("must have drained, this one drains until 2026-04-08; wait until then", "retire", old)
	y.mayNot("must be an IP that comes into use, this one drains since 2026-04-01", "activate", old)
	y.mayNot("must be retired in the document that partners have, this one is draining; it can be retired from 2026-04-08 on", "retire", old, "--release")
	y.until(97)
	y.mayNot("must be retired in the document that partners have, this one is draining", "retire", old, "--release")
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-b-2 retired", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.until(98)
	y.mayNot("must be an IP that partners list, this one was retired on 2026-04-08", "activate", old)
	y.mayNot("must be an IP that is to be listed, this one is retired", "confirm", old, "--partner", "bank")
	y.does("the next update takes its protection away, the one after gives it back", "retire", old, "--release")
	y.mayNot("must not be done twice, it was released on 2026-04-09", "retire", old, "--release")
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 active", "nat-b-1 active", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3 reserved")
	y.until(99)
	y.up()
}

// addAZone brings a zone whose NAT and proxy wait for the partners: one IP of each kind is headroom that they know. Days 150 to 180.
func (y *year) addAZone() {
	y.until(150)
	y.edit("zones: [eu-west-1a, eu-west-1b]", "zones: [eu-west-1a, eu-west-1b, eu-west-1c]")
	y.up()
	waits := []string{"nat-a-1 active", "nat-b-1 active", "nat-c-2 announced", "nat-reserve-1@nat-a-2 active", "nat-reserve-2@nat-b-2 active", "nat-reserve-3@nat-c-1 active", "nat-reserve-4 reserved"}
	y.is(allowlist.KindNat, waits...)
	y.is(allowlist.KindProxy, "proxy-a-1-1 active", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.until(179)
	y.more()
	y.is(allowlist.KindNat, waits...)
	y.until(180)
	if c, ok := y.d.(*cloud); ok {
		c.tooEarly(y.now, y.now.AddDate(0, 0, -1), "nat-eu-west-1c-2: must not carry traffic in state announced, got attached to natgateway-gateway-eu-west-1c")
	}
	y.up()
	waits[2] = "nat-c-2 active"
	y.is(allowlist.KindNat, waits...)
}

// removeAZone keeps the zone's IPs on the lists until nobody can come from them. Days 200 to 220.
func (y *year) removeAZone() {
	y.until(200)
	y.edit("zones: [eu-west-1a, eu-west-1b, eu-west-1c]", "zones: [eu-west-1b, eu-west-1c]")
	y.up()
	y.is(allowlist.KindNat, "nat-a-1 draining", "nat-b-1 active", "nat-c-2 active", "nat-reserve-1@nat-a-2 draining", "nat-reserve-2@nat-b-2 active", "nat-reserve-3@nat-c-1 active", "nat-reserve-4 reserved")
	y.is(allowlist.KindProxy, "proxy-a-1-1 draining", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.until(206)
	y.more()
	y.is(allowlist.KindProxy, "proxy-a-1-1 draining", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
	y.until(207)
	y.up()
	y.is(allowlist.KindProxy, "proxy-a-1-1 retired", "proxy-b-1-1 active", "proxy-reserve-1@proxy-c-1-1 active", "proxy-reserve-2 reserved")
}

func (y *year) serialsRise() {
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
