// Package year is a year in the life of an allow list: a stack that grows, rotates an IP, adds a zone and removes one, two partners who
// enforce their lists, one of whom never answers, and an operator who tries every step that is not allowed.
//
// Whatever runs the stack plays the same year: the program's decisions alone, the real command line with stand-ins, or the lab with
// real packets. The clock is set through SALLYPORT_NOW, so a year takes as long as its updates.
package year

import (
	"bytes"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
)

// born is the first day of the year.
var born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Deployment is what runs the stack: it applies the stack file and says which public IPs carry traffic now.
type Deployment interface {
	// Up applies the stack file. An error is one that the operator sees, and nothing has changed.
	Up(now time.Time) error
	// Document is the output allowlist, as JSON.
	Document() []byte
	// Carrying are the IPs that carry traffic, by kind.
	Carrying() map[netip.Addr]allowlist.Kind
	// File is the stack file.
	File() string
}

// Enforcer is a Deployment whose partners refuse who is not on their lists.
type Enforcer interface {
	// List says what a partner lists from now on. It is called for every change.
	List(partner string, ips []netip.Addr)
}

// Judged is a Deployment whose updates have to pass policies.
type Judged interface {
	// TooEarly previews an update that brings an IP into use, with policies for which it is the day before.
	TooEarly(now time.Time)
}

// Year is a stack with its partners while time goes by.
type Year struct {
	// Brief leaves out updates that show what others have shown, where each takes seconds.
	Brief bool

	t         *testing.T
	d         Deployment
	sallyport string // the command line
	now       time.Time
	partners  map[string]*partner
	documents []allowlist.Document
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

// New is the first morning of the year, with the path of the command line.
func New(t *testing.T, d Deployment, sallyport string) *Year {
	both := []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy}
	return &Year{sallyport: sallyport, t: t, d: d, now: born, partners: map[string]*partner{
		"bank": {kinds: both, prompt: true, notice: 14 * 24 * time.Hour, told: map[netip.Addr]time.Time{}, list: map[netip.Addr]bool{}},
		"shop": {kinds: both[:1], notice: 30 * 24 * time.Hour, told: map[netip.Addr]time.Time{}, list: map[netip.Addr]bool{}},
	}}
}

// run runs the command line on this day, with the document that was handed out last.
func (y *Year) run(args ...string) (output string, code int) {
	y.t.Helper()
	document := filepath.Join(y.t.TempDir(), "allowlist.json")
	if err := os.WriteFile(document, y.d.Document(), 0o600); err != nil {
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
func (y *Year) does(want string, step ...string) {
	y.t.Helper()
	out, code := y.run(append(step, "--config-file", y.d.File(), "--yes")...)
	if code != 0 || !strings.Contains(out, want) {
		y.t.Fatalf("%s: %v: exit %d\n%s\nwant %s", y.date(), step, code, out, want)
	}
}

// mayNot takes a step that has to be refused, with the reason, and the file has to stay as it is.
func (y *Year) mayNot(want string, step ...string) {
	y.t.Helper()
	before := y.read()
	out, code := y.run(append(step, "--config-file", y.d.File(), "--yes")...)
	if code != 2 || !strings.Contains(out, want) {
		y.t.Errorf("%s: %v: exit %d\n%s\nwant %s", y.date(), step, code, out, want)
	}
	if y.read() != before {
		y.t.Errorf("%s: %v: refused, and the file was changed", y.date(), step)
	}
}

func (y *Year) date() string { return y.now.Format(time.DateOnly) }

func (y *Year) read() string {
	y.t.Helper()
	text, err := os.ReadFile(y.d.File())
	if err != nil {
		y.t.Fatal(err)
	}
	return string(text)
}

// edit changes the stack file by hand.
func (y *Year) edit(was, is string) {
	y.t.Helper()
	text := y.read()
	if strings.Count(text, was) != 1 {
		y.t.Fatalf("%s: %q is not once in\n%s", y.date(), was, text)
	}
	if err := os.WriteFile(y.d.File(), []byte(strings.Replace(text, was, is, 1)), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

// Up is an update, after which partners learn of what it handed out.
func (y *Year) Up() {
	y.t.Helper()
	if err := y.d.Up(y.now); err != nil {
		y.t.Fatalf("%s: up: %v", y.date(), err)
	}
	document, err := allowlist.Parse(y.d.Document())
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
func (y *Year) more() {
	y.t.Helper()
	if !y.Brief {
		y.Up()
	}
}

// UpFails is an update that has to be refused with the reason.
func (y *Year) UpFails(want string) {
	y.t.Helper()
	before := y.d.Document()
	if err := y.d.Up(y.now); err == nil || !strings.Contains(err.Error(), want) {
		y.t.Errorf("%s: up: %v, want %s", y.date(), err, want)
	}
	if !bytes.Equal(before, y.d.Document()) {
		y.t.Errorf("%s: a refused update handed out a document", y.date())
	}
	y.check()
}

// Publisher is a Deployment that puts lists where partners fetch them.
type Publisher interface {
	// Networks is a partner's list, one network to a line.
	Networks(partner string) string
}

// networks is the partner's own view of the document, as the partner gets it: fetched, or from the command line.
func (y *Year) networks(name string) string {
	y.t.Helper()
	if p, ok := y.d.(Publisher); ok {
		return p.Networks(name)
	}
	out, code := y.run("--partner", name, "--format", "cidr")
	if code != 0 {
		y.t.Fatalf("%s: %s", y.date(), out)
	}
	return out
}

// learn reads the partner's list.
func (p *partner) learn(y *Year, name string) {
	y.t.Helper()
	before := maps.Clone(p.list)
	defer func() { p.tell(y, name, before) }()
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

// tell hands a changed list to the partner's own servers.
func (p *partner) tell(y *Year, name string, before map[netip.Addr]bool) {
	if d, ok := y.d.(Enforcer); ok && !maps.Equal(before, p.list) {
		d.List(name, slices.SortedFunc(maps.Keys(p.list), netip.Addr.Compare))
	}
}

// Until lets days go by up to one, counted from the first.
func (y *Year) Until(day int) {
	y.t.Helper()
	for !y.now.Equal(born.AddDate(0, 0, day)) {
		if y.now = y.now.AddDate(0, 0, 1); y.now.After(born.AddDate(0, 0, day)) {
			y.t.Fatalf("day %d is over", day)
		}
		for name, p := range y.partners {
			before := maps.Clone(p.list)
			for ip, told := range p.told {
				if !told.Add(p.notice).After(y.now) {
					p.list[ip] = true
				}
			}
			p.tell(y, name, before)
		}
		y.check()
	}
}

// check is the promise: no partner sees an IP that is not on its list, and there always is a way out of each kind.
func (y *Year) check() {
	y.t.Helper()
	seen := map[allowlist.Kind]int{}
	for ip, kind := range y.d.Carrying() {
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
func (y *Year) is(kind allowlist.Kind, want ...string) {
	y.t.Helper()
	document, err := allowlist.Parse(y.d.Document())
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
func (y *Year) ip(address string) string {
	y.t.Helper()
	document, err := allowlist.Parse(y.d.Document())
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
