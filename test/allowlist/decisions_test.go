package allowlist

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/clock"
)

// decisions is a deployment that does what the program decides, in memory.
type decisions struct {
	t        *testing.T
	path     string
	previous *allowlist.Document
	ips      map[string]netip.Addr // by address
	taken    int
	attached map[netip.Addr]allowlist.Kind
}

func newDecisions(t *testing.T) *decisions {
	t.Helper()
	d := &decisions{t: t, path: filepath.Join(t.TempDir(), "Pulumi.prod.yaml"), ips: map[string]netip.Addr{}}
	if err := os.WriteFile(d.path, []byte(stackConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *decisions) File() string { return d.path }

func (d *decisions) Carrying() map[netip.Addr]allowlist.Kind { return d.attached }

func (d *decisions) Document() []byte {
	d.t.Helper()
	if d.previous == nil {
		return nil
	}
	text, err := d.previous.Render(allowlist.FormatJSON)
	if err != nil {
		d.t.Fatal(err)
	}
	return []byte(text)
}

func (d *decisions) Up(now time.Time) error {
	d.t.Setenv(clock.Env, now.Format(time.RFC3339))
	settings, err := stack.ReadFile(d.path)
	if err != nil {
		return err
	}
	plan, err := settings.Plan()
	if err != nil {
		return err
	}
	life, err := topology.NewLifecycle(settings, plan, d.previous)
	if err != nil {
		return err
	}
	declared, attached := map[string]netip.Addr{}, map[netip.Addr]allowlist.Kind{}
	for _, a := range life.Addresses() {
		if !d.ips[a.Name].IsValid() { // no cloud hands out the same IP again soon
			d.taken++
			d.ips[a.Name] = netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", d.taken))
		}
		declared[a.Name] = d.ips[a.Name]
		if a.Usable() {
			attached[declared[a.Name]] = a.Kind
		}
	}
	document, err := life.Document("prod", "eu-west-1", declared)
	if err != nil {
		return err
	}
	d.previous, d.ips, d.attached = &document, declared, attached
	return nil
}

func TestAYearOfDecisions(t *testing.T) {
	newYear(t, newDecisions(t)).Play()
}
