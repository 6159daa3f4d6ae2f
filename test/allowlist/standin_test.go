package allowlist

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/minisign"
	"github.com/sallyport/sallyport/test/allowlist/year"
	"github.com/sallyport/sallyport/test/standin/awshttp"
	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// cloud is a deployment by the real Pulumi command line on stand-in providers. It publishes the partners' lists, signed, after its
// account has confirmed them, and every update has to pass the policy pack.
type cloud struct {
	t       *testing.T
	stack   *rig.Stack
	env     []string // of every command, besides the clock
	pack    string   // the policy pack
	key     minisign.PublicKey
	text    []byte // the output allowlist after the last update
	updates int
}

// publishing is what the stack file says besides.
const publishing = "    publish: {access: public, prefix: lists/, notices: true, publicKey: %s}\n"

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
	c := &cloud{t: t}
	program, err := r.Compile("./infra")
	if err != nil {
		t.Fatal(err)
	}
	if c.pack, err = r.Compile("./policies"); err != nil {
		t.Fatal(err)
	}
	keyFile := c.newKey()
	config := strings.Replace(stackConfig, "    notice: {", fmt.Sprintf(publishing, c.key)+"    notice: {", 1)
	if c.stack, err = r.NewStack("prod", program, config); err != nil {
		t.Fatal(err)
	}
	if err := c.stack.World.Do(func(state *world.State) error {
		state.Settings = world.Settings{EIPs: 100, EIPsPerNat: 8}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	account := httptest.NewServer(&awshttp.Server{World: c.stack.World})
	t.Cleanup(account.Close)
	c.env = []string{
		allowlist.SigningKeyEnv + "=" + keyFile, "AWS_ENDPOINT_URL=" + account.URL, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/nonexistent",
	}
	return c
}

// newKey makes the key that signs, and returns its file.
func (c *cloud) newKey() string {
	c.t.Helper()
	key, err := minisign.Generate()
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err := key.File(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.key = key.Public()
	return file
}

func (c *cloud) File() string { return c.stack.File() }

func (c *cloud) Document() []byte { return c.text }

func (c *cloud) Up(now time.Time) error {
	c.stack.Env = append(slices.Clone(c.env), clock.Env+"="+now.Format(time.RFC3339))
	c.updates++
	if r := c.stack.Pulumi("up", "--policy-pack", c.pack); r.Err != nil {
		return fmt.Errorf("%w\n%s", r.Err, r.Output)
	}
	c.text = c.output()
	c.published()
	return nil
}

// output is the output allowlist of the stack.
func (c *cloud) output() []byte {
	c.t.Helper()
	r := c.stack.Command("tools/pulumi.sh", "stack", "output", "--json", "allowlist", "--stack", c.stack.Name)
	if r.Err != nil {
		c.t.Fatalf("%v\n%s", r.Err, r.Output)
	}
	return []byte(r.Output)
}

// object is what partners find under a name in the bucket of the lists, empty if there is nothing.
func (c *cloud) object(key string) string {
	c.t.Helper()
	content := ""
	if err := c.stack.World.Look(func(state *world.State) {
		if o := state.By("aws:s3/bucketObjectv2:BucketObjectv2", "key", key); o != nil {
			content = o.String("content")
		}
	}); err != nil {
		c.t.Fatal(err)
	}
	return content
}

// Networks implements year.Publisher.
func (c *cloud) Networks(partner string) string {
	return c.object("lists/" + partner + "/allowlist.txt")
}

// published checks that each partner finds its view of the document, signed with the key that it knows.
func (c *cloud) published() {
	c.t.Helper()
	document, err := allowlist.Parse(c.text)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, partner := range document.Partners() {
		view, err := document.ForPartner(partner)
		if err != nil {
			c.t.Fatal(err)
		}
		want, err := view.Render(allowlist.FormatJSON)
		if err != nil {
			c.t.Fatal(err)
		}
		got := c.object("lists/" + partner + "/allowlist.json")
		if got != want {
			c.t.Fatalf("partner %s finds\n%s\nand has to list\n%s", partner, got, want)
		}
		if _, err := c.key.Verify([]byte(got), []byte(c.object("lists/"+partner+"/allowlist.json.minisig"))); err != nil {
			c.t.Fatalf("partner %s: %v", partner, err)
		}
	}
}

// TooEarly implements year.Judged: policies judge by what partners were told, not by what the program says.
func (c *cloud) TooEarly(now time.Time) {
	c.t.Helper()
	const want = "nat-eu-west-1c-2: must not carry traffic in state announced, got attached to natgateway-gateway-eu-west-1c"
	behind := filepath.Join(c.t.TempDir(), "policies")
	script := fmt.Sprintf("#!/bin/sh\n%s=%s exec %s \"$@\"\n", clock.Env, now.AddDate(0, 0, -1).Format(time.RFC3339), c.pack)
	if err := os.WriteFile(behind, []byte(script), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.stack.Env = append(slices.Clone(c.env), clock.Env+"="+now.Format(time.RFC3339))
	if r := c.stack.Pulumi("preview", "--policy-pack", behind); r.Err == nil || !strings.Contains(r.Output, want) {
		c.t.Errorf("%v\n%s\nwant %s", r.Err, r.Output, want)
	}
}

// Carrying reads the world: the addresses of the NAT gateways, and those of the interfaces that an instance has.
func (c *cloud) Carrying() map[netip.Addr]allowlist.Kind {
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
		for id := range awshttp.Machines(state) {
			carrying[ips[id]] = allowlist.KindProxy
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
	y.Brief = true
	y.Play()
	if err := c.stack.World.Look(func(state *world.State) {
		if len(state.Released) != 1 {
			t.Errorf("released %v, want the one IP that was released on purpose", state.Released)
		}
	}); err != nil {
		t.Fatal(err)
	}
	c.withheld(y)
	t.Logf("%d updates", c.updates)
}

// withheld is what partners are spared: a list that is not signed, and one that is not true any more. They keep what they have.
func (c *cloud) withheld(y *year.Year) {
	bank, output := c.object("lists/bank/allowlist.json"), string(c.output())
	keeps := func(why string) {
		c.t.Helper()
		if c.object("lists/bank/allowlist.json") != bank || string(c.output()) != output {
			c.t.Errorf("%s: partners were given another list", why)
		}
	}
	y.Until(365)
	signed := c.env
	c.env = signed[1:]
	y.UpFails("must name the file of the secret key of " + c.key.String())
	keeps("no key")
	c.env = signed

	// Somebody gives headroom back in the console.
	var lost *world.Object
	if err := c.stack.World.Do(func(state *world.State) error {
		for _, o := range state.All("aws:ec2/eip:Eip") {
			if strings.Contains(fmt.Sprint(o.Props["tags"]), "nat-reserve-4") {
				lost = o
				state.Remove(o)
			}
		}
		return nil
	}); err != nil || lost == nil {
		c.t.Fatalf("%v, lost %v", err, lost)
	}
	y.UpFails("nat-reserve-4 is reserved in the document and does not exist under the stack's tag: it was released, or lost its tag")
	keeps("an IP is gone")
	if err := c.stack.World.Do(func(state *world.State) error { state.Put(lost); return nil }); err != nil {
		c.t.Fatal(err)
	}
	y.Up()
	keeps("nothing changed")
}
