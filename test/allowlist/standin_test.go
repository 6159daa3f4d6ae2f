package allowlist

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// cloud is a deployment by the real Pulumi command line on stand-in providers.
type cloud struct {
	t       *testing.T
	stack   *rig.Stack
	text    []byte // the output allowlist after the last update
	updates int
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, ".build", "bin", "pulumi")); err != nil {
		t.Skip("no Pulumi command line in .build/bin; run `make tools` first")
	}
	r, err := rig.New(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, err := r.Compile("./infra")
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.NewStack("prod", program, stackConfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.World.Do(func(state *world.State) error {
		state.Settings = world.Settings{EIPs: 100, EIPsPerNat: 8}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &cloud{t: t, stack: s}
}

func (c *cloud) file() string { return c.stack.File() }

func (c *cloud) document() []byte { return c.text }

func (c *cloud) up(now time.Time) error {
	c.stack.Env = []string{clock.Env + "=" + now.Format(time.RFC3339)}
	c.updates++
	if r := c.stack.Pulumi("up"); r.Err != nil {
		return fmt.Errorf("%w\n%s", r.Err, r.Output)
	}
	r := c.stack.Command("tools/pulumi.sh", "stack", "output", "--json", "allowlist", "--stack", c.stack.Name)
	if r.Err != nil {
		return fmt.Errorf("%w\n%s", r.Err, r.Output)
	}
	c.text = []byte(r.Output)
	return nil
}

// carrying reads the world: the addresses of the NAT gateways, and those of the interfaces that an instance has.
func (c *cloud) carrying() map[netip.Addr]allowlist.Kind {
	c.t.Helper()
	carrying := map[netip.Addr]allowlist.Kind{}
	if err := c.stack.World.Look(func(state *world.State) {
		ips := map[string]netip.Addr{}
		for _, o := range state.All("aws:ec2/eip:Eip") {
			ip, err := netip.ParseAddr(world.PublicIP(o))
			if err != nil {
				c.t.Fatalf("%s: %v", o.ID, err)
			}
			ips[o.ID] = ip
		}
		for _, gateway := range state.All("aws:ec2/natGateway:NatGateway") {
			for _, id := range append(texts(gateway.Props["secondaryAllocationIds"]), gateway.String("allocationId")) {
				carrying[ips[id]] = allowlist.KindNat
			}
		}
		var groups []string
		for _, group := range state.All("aws:autoscaling/group:Group") {
			if desired, _ := group.Props["desiredCapacity"].(float64); desired > 0 {
				groups = append(groups, fmt.Sprint(group.Props["launchTemplate"]))
			}
		}
		for _, template := range state.All("aws:ec2/launchTemplate:LaunchTemplate") {
			if !slices.ContainsFunc(groups, func(launched string) bool { return strings.Contains(launched, template.ID) }) {
				continue
			}
			for _, association := range state.All("aws:ec2/eipAssociation:EipAssociation") {
				if strings.Contains(fmt.Sprint(template.Props["networkInterfaces"]), association.String("networkInterfaceId")) {
					carrying[ips[association.String("allocationId")]] = allowlist.KindProxy
				}
			}
		}
	}); err != nil {
		c.t.Fatal(err)
	}
	return carrying
}

func texts(value any) []string {
	var all []string
	list, _ := value.([]any)
	for _, item := range list {
		all = append(all, fmt.Sprint(item))
	}
	return all
}

// TestAYearOfUpdates is the same year with the real Pulumi command line. What partners see is read from the stand-ins' world, not from
// what the program says.
func TestAYearOfUpdates(t *testing.T) {
	if testing.Short() {
		t.Skip("two dozen updates")
	}
	c := newCloud(t)
	y := newYear(t, c)
	y.brief = true
	y.play()
	if err := c.stack.World.Look(func(state *world.State) {
		if len(state.Released) != 1 {
			t.Errorf("released %v, want the one IP that was released on purpose", state.Released)
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d updates", c.updates)
}
