package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"github.com/sallyport/sallyport/lab/labid"
)

// engine plays the part of the Pulumi engine: it remembers states and goes through check, diff and the change, as `pulumi up`
// does.
type engine struct {
	t      *testing.T
	server integration.Server
}

// known is a resource as the engine remembers it.
type known struct {
	urn    presource.URN
	id     string
	inputs property.Map
	state  property.Map
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	provider, err := New()
	if err != nil {
		t.Fatal(err)
	}
	server, err := integration.NewServer(context.Background(), Name, semver.MustParse(Version), integration.WithProvider(provider))
	if err != nil {
		t.Fatal(err)
	}
	return &engine{t, server}
}

// values makes a property map of anything that is JSON.
func values(t *testing.T, inputs map[string]any) property.Map {
	t.Helper()
	text, err := json.Marshal(inputs)
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	return presource.FromResourcePropertyValue(presource.NewProperty(presource.NewPropertyMapFromMap(plain))).AsMap()
}

func (e *engine) urn(kind, name string) presource.URN {
	return presource.NewURN("test", "sallyport", "", tokens.Type("lab:index:"+kind), name)
}

// check returns the checked inputs and the problems.
func (e *engine) check(kind, name string, inputs property.Map) (property.Map, []string) {
	e.t.Helper()
	response, err := e.server.Check(p.CheckRequest{Urn: e.urn(kind, name), Inputs: inputs})
	if err != nil {
		e.t.Fatalf("check %s %s: %v", kind, name, err)
	}
	var problems []string
	for _, failure := range response.Failures {
		problems = append(problems, failure.Property+": "+failure.Reason)
	}
	return response.Inputs, problems
}

// create checks and creates.
func (e *engine) create(kind, name string, inputs map[string]any) (*known, error) {
	e.t.Helper()
	checked, problems := e.check(kind, name, values(e.t, inputs))
	if len(problems) > 0 {
		return nil, fmt.Errorf("check: %s", strings.Join(problems, "; "))
	}
	urn := e.urn(kind, name)
	response, err := e.server.Create(p.CreateRequest{Urn: urn, Properties: checked})
	if err != nil {
		return nil, err
	}
	return &known{urn: urn, id: response.ID, inputs: checked, state: response.Properties}, nil
}

func (e *engine) mustCreate(kind, name string, inputs map[string]any) *known {
	e.t.Helper()
	k, err := e.create(kind, name, inputs)
	if err != nil {
		e.t.Fatalf("create %s %s: %v", kind, name, err)
	}
	return k
}

// update checks, diffs and updates. It returns the names of the changed properties; those that replace end in "!", and then
// nothing is done.
func (e *engine) update(k *known, inputs map[string]any) ([]string, error) {
	e.t.Helper()
	kind := string(k.urn.Type().Name())
	checked, problems := e.check(kind, k.urn.Name(), values(e.t, inputs))
	if len(problems) > 0 {
		return nil, fmt.Errorf("check: %s", strings.Join(problems, "; "))
	}
	diff, err := e.server.Diff(p.DiffRequest{ID: k.id, Urn: k.urn, State: k.state, OldInputs: k.inputs, Inputs: checked})
	if err != nil {
		return nil, err
	}
	var changes []string
	replaces := false
	for field, change := range diff.DetailedDiff {
		switch change.Kind {
		case p.AddReplace, p.UpdateReplace, p.DeleteReplace:
			field += "!"
			replaces = true
		}
		changes = append(changes, field)
	}
	if replaces || !diff.HasChanges {
		return changes, nil
	}
	response, err := e.server.Update(p.UpdateRequest{ID: k.id, Urn: k.urn, State: k.state, OldInputs: k.inputs, Inputs: checked})
	if err != nil {
		return changes, err
	}
	k.inputs, k.state = checked, response.Properties
	return changes, nil
}

func (e *engine) mustUpdate(k *known, inputs map[string]any) []string {
	e.t.Helper()
	changes, err := e.update(k, inputs)
	if err != nil {
		e.t.Fatalf("update %s: %v", k.urn.Name(), err)
	}
	return changes
}

// refresh reads, and reports whether the resource is still there.
func (e *engine) refresh(k *known) bool {
	e.t.Helper()
	response, err := e.server.Read(p.ReadRequest{ID: k.id, Urn: k.urn, Properties: k.state, Inputs: k.inputs})
	if err != nil {
		e.t.Fatalf("read %s: %v", k.urn.Name(), err)
	}
	if response.ID == "" {
		return false
	}
	k.state, k.inputs = response.Properties, response.Inputs
	return true
}

func (e *engine) delete(k *known) {
	e.t.Helper()
	if err := e.server.Delete(p.DeleteRequest{ID: k.id, Urn: k.urn, Properties: k.state}); err != nil {
		e.t.Fatalf("delete %s: %v", k.urn.Name(), err)
	}
}

func (k *known) text(field string) string { return k.state.Get(field).AsString() }
func (k *known) number(field string) int  { return int(k.state.Get(field).AsNumber()) }

// onDisk gives the test a root directory of its own, so that nothing meets another run's.
func onDisk(t *testing.T) {
	t.Helper()
	t.Setenv(labid.RootEnv, filepath.Join(t.TempDir(), "labs"))
}

func TestSchemaDescribesEveryResourceAndProperty(t *testing.T) {
	response, err := newEngine(t).server.GetSchema(p.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	type property struct{ Description string }
	var schema struct {
		Resources map[string]struct {
			Description     string
			InputProperties map[string]property
			Properties      map[string]property
		}
		Types map[string]struct{ Properties map[string]property }
	}
	if err := json.Unmarshal([]byte(response.Schema), &schema); err != nil {
		t.Fatal(err)
	}
	if len(schema.Resources) == 0 {
		t.Fatal("no resources")
	}
	check := func(where string, properties map[string]property) {
		for name, one := range properties {
			if one.Description == "" {
				t.Errorf("%s.%s has no description", where, name)
			}
		}
	}
	for token, r := range schema.Resources {
		if r.Description == "" || !strings.HasPrefix(token, "lab:index:") {
			t.Errorf("%s: description %q", token, r.Description)
		}
		check(token, r.InputProperties)
	}
	for token, one := range schema.Types {
		check(token, one.Properties)
	}
}

func TestAddressLife(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	args := func(name, kind, address string) map[string]any {
		inputs := map[string]any{"lab": "t1", "name": name, "kind": kind}
		if address != "" {
			inputs["address"] = address
		}
		return inputs
	}
	a := e.mustCreate("Address", "a", args("a-1", "proxy", ""))
	b := e.mustCreate("Address", "b", args("a-2", "proxy", ""))
	private := e.mustCreate("Address", "i", args("a-1", "interface", ""))
	if got := a.text("address") + " " + b.text("address") + " " + private.text("address"); got != "198.51.100.129 198.51.100.130 10.0.2.10" {
		t.Fatalf("got %s", got)
	}
	if changes := e.mustUpdate(a, args("a-1", "proxy", "198.51.100.129")); len(changes) != 0 {
		t.Errorf("naming the address in force changes %v", changes)
	}
	if changes := e.mustUpdate(a, args("a-1", "proxy", "198.51.100.140")); fmt.Sprint(changes) != "[address!]" {
		t.Errorf("another address: got %v", changes)
	}
	if changes := e.mustUpdate(a, args("a-9", "proxy", "")); fmt.Sprint(changes) != "[name!]" {
		t.Errorf("another name: got %v", changes)
	}
	if _, err := e.create("Address", "c", args("a-3", "proxy", "198.51.100.130")); err == nil || !strings.Contains(err.Error(), `belongs to "a-2"`) {
		t.Errorf("a taken address: %v", err)
	}

	// A crash between making and remembering: the name gets the same address again, and the forgotten incarnation's Delete
	// does not take it away.
	again := e.mustCreate("Address", "a", args("a-1", "proxy", ""))
	e.delete(a)
	if other := e.mustCreate("Address", "d", args("a-4", "proxy", "")); again.text("address") != "198.51.100.129" || other.text("address") != "198.51.100.131" {
		t.Errorf("got %s for the same name and %s for another", again.text("address"), other.text("address"))
	}

	// A reboot empties the state directory; reading registers what Pulumi remembers.
	if err := os.RemoveAll(labid.StateDir("t1")); err != nil {
		t.Fatal(err)
	}
	if !e.refresh(b) {
		t.Fatal("an address is gone after a reboot")
	}
	if other := e.mustCreate("Address", "x", args("x-1", "proxy", "")); other.text("address") != "198.51.100.129" {
		t.Errorf("got %s", other.text("address"))
	}
	if _, err := e.create("Address", "y", args("y-1", "proxy", "198.51.100.130")); err == nil {
		t.Error("the address of a-2 was given away after a reboot")
	}
	e.delete(b)
	e.delete(b)
	if other := e.mustCreate("Address", "z", args("z-1", "proxy", "")); other.text("address") != "198.51.100.130" {
		t.Errorf("a deleted address is not free: got %s", other.text("address"))
	}
}

func TestDeletingTheLastResourceLeavesNoFile(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	a := e.mustCreate("Address", "a", map[string]any{"lab": "t1", "name": "a-1", "kind": "nat"})
	s := e.mustCreate("Serial", "s", map[string]any{"lab": "t1", "name": "s", "content": "1"})
	r := e.mustCreate("Routes", "r", map[string]any{"lab": "t1", "document": `{"version":1,"routes":[],"proxies":[],"clients":[]}`})
	for _, k := range []*known{r, a, s} {
		e.delete(k)
	}
	if _, err := os.Stat(labid.RootDir()); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
}

func TestARebootAndADestroyLeaveNoFile(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	a := e.mustCreate("Address", "a", map[string]any{"lab": "t1", "name": "a-1", "kind": "nat"})
	s := e.mustCreate("Serial", "s", map[string]any{"lab": "t1", "name": "s", "content": "1"})
	r := e.mustCreate("Routes", "r", map[string]any{"lab": "t1", "document": `{"version":1,"routes":[],"proxies":[],"clients":[]}`})
	if err := os.RemoveAll(labid.RootDir()); err != nil {
		t.Fatal(err)
	}
	if !e.refresh(a) || !e.refresh(s) || e.refresh(r) {
		t.Error("an address and a serial outlive a reboot, a file does not")
	}
	e.delete(s)
	e.delete(a)
	if _, err := os.Stat(labid.RootDir()); !os.IsNotExist(err) {
		t.Errorf("left: %v", err)
	}
}

func TestSerialLife(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	args := func(content string) map[string]any {
		return map[string]any{"lab": "t1", "name": "allowlist", "content": content}
	}
	s := e.mustCreate("Serial", "s", args("a"))
	for i, step := range []struct {
		content string
		want    int
	}{{"a", 1}, {"b", 2}, {"b", 2}, {"a", 3}} {
		e.mustUpdate(s, args(step.content))
		if s.number("serial") != step.want {
			t.Errorf("step %d: got %d, want %d", i, s.number("serial"), step.want)
		}
	}
	if err := os.RemoveAll(labid.RootDir()); err != nil {
		t.Fatal(err)
	}
	if !e.refresh(s) {
		t.Fatal("a serial is gone after a reboot")
	}
	e.mustUpdate(s, args("c"))
	if s.number("serial") != 4 {
		t.Errorf("after a reboot: got %d, want 4", s.number("serial"))
	}
}

func TestRoutesLife(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	args := func(host string) map[string]any {
		return map[string]any{"lab": "t1", "document": `{"version":1,"routes":[{"name":"a","hosts":["` + host +
			`"],"port":443}],"proxies":[],"clients":["10.0.1.0/24"]}`}
	}
	read := func(path string) (document struct {
		Serial int
		Routes []struct{ Hosts []string }
	}) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	r := e.mustCreate("Routes", "r", args("a.example.com"))
	path := r.text("path")
	if d := read(path); d.Serial != 1 || d.Routes[0].Hosts[0] != "a.example.com" {
		t.Errorf("got %+v", d)
	}
	if changes := e.mustUpdate(r, args("b.example.com")); fmt.Sprint(changes) != "[document]" {
		t.Errorf("got %v", changes)
	}
	if d := read(path); d.Serial != 2 || r.number("serial") != 2 || d.Routes[0].Hosts[0] != "b.example.com" {
		t.Errorf("got %+v", d)
	}
	// Somebody edits the file: a refresh shows it, an update puts it right with a serial that agents follow.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "b.example.com", "evil.example.com", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if !e.refresh(r) || !strings.Contains(r.text("document"), "evil.example.com") {
		t.Fatalf("the refresh does not show the change: %s", r.text("document"))
	}
	e.mustUpdate(r, args("b.example.com"))
	if d := read(path); d.Serial != 3 || d.Routes[0].Hosts[0] != "b.example.com" {
		t.Errorf("got %+v", d)
	}
	if !e.refresh(r) {
		t.Error("gone")
	}
	if changes := e.mustUpdate(r, args("b.example.com")); len(changes) != 0 {
		t.Errorf("unchanged routes have changes: %v", changes)
	}
	// The file is lost, with all state: it comes back with a higher serial.
	if err := os.RemoveAll(labid.RootDir()); err != nil {
		t.Fatal(err)
	}
	if e.refresh(r) {
		t.Fatal("the refresh does not see that the file is gone")
	}
	e.mustCreate("Routes", "r", args("c.example.com"))
	if d := read(path); d.Serial != 4 {
		t.Errorf("got %+v", d)
	}
}

func TestPreviewKnowsWhatItCan(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	unknown := property.New(property.Computed)
	inputs := values(t, map[string]any{"name": "a-1", "kind": "proxy"}).Set("lab", unknown)
	checked, problems := e.check("Address", "a", inputs)
	if len(problems) > 0 {
		t.Fatalf("an unknown lab is a problem: %v", problems)
	}
	response, err := e.server.Create(p.CreateRequest{Urn: e.urn("Address", "a"), Properties: checked, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if !response.Properties.Get("address").IsComputed() || response.Properties.Get("kind").AsString() != "proxy" {
		t.Errorf("got %v", response.Properties)
	}
	if _, err := os.Stat(labid.RootDir()); !os.IsNotExist(err) {
		t.Errorf("a preview made files: %v", err)
	}
}

func TestPreviewOfListsThatAreNotKnownYet(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	unknown := property.New(property.Computed)
	list := func(values ...property.Value) property.Value { return property.New(property.NewArray(values)) }
	record := func(name string, addresses property.Value) property.Value {
		return property.New(property.NewMap(map[string]property.Value{
			"name": property.New(name), "ttl": property.New(5.0), "addresses": addresses}))
	}
	known := values(t, map[string]any{"lab": "t1"})
	old := known.Set("records", list(record("a.example.com", list(property.New("203.0.113.1")))))
	for name, records := range map[string]property.Value{
		"the whole list":       unknown,
		"a list inside":        list(record("a.example.com", unknown), record("b.example.com", unknown)),
		"an element of a list": list(record("a.example.com", list(unknown, property.New("203.0.113.2")))),
	} {
		checked, problems := e.check("UpstreamDNS", "dns", known.Set("records", records))
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		urn := e.urn("UpstreamDNS", "dns")
		created, err := e.server.Create(p.CreateRequest{Urn: urn, Properties: checked, DryRun: true})
		if err != nil {
			t.Errorf("%s: create: %v", name, err)
		}
		if got := created.Properties.Get("publicAddress"); !got.IsString() || got.AsString() != "192.0.2.53" {
			t.Errorf("%s: the address is known beforehand, got %v", name, got)
		}
		state := old.Set("publicAddress", property.New("192.0.2.53")).Set("privateAddress", property.New("10.0.0.2"))
		diff, err := e.server.Diff(p.DiffRequest{ID: "t1/dns/1", Urn: urn, State: state, OldInputs: old, Inputs: checked})
		if err != nil || !diff.HasChanges {
			t.Errorf("%s: diff: %+v %v", name, diff, err)
		}
		if _, err := e.server.Update(p.UpdateRequest{ID: "t1/dns/1", Urn: urn, State: state, OldInputs: old, Inputs: checked, DryRun: true}); err != nil {
			t.Errorf("%s: update: %v", name, err)
		}
	}
}

func TestChecksNamePlaceRuleValueAndRemedy(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	for name, c := range map[string]struct {
		kind   string
		inputs map[string]any
		want   []string
	}{
		"address of an unknown kind": {"Address", map[string]any{"lab": "t1", "name": "a", "kind": "elastic"},
			[]string{`kind: address x: kind: needs to be one of nat, proxy, interface, pods, got "elastic"`}},
		"address outside its range": {"Address", map[string]any{"lab": "t1", "name": "a", "kind": "nat", "address": "198.51.100.200"},
			[]string{`address: address x: address: needs to be from 198.51.100.1 to 198.51.100.126 for kind nat, got "198.51.100.200"; leave it out to get a free one`}},
		"everything at once": {"Address", map[string]any{"lab": "A lab that is much too long", "name": "No label", "kind": "x"},
			[]string{"lab: ", "name: ", "kind: "}},
		"routes with a serial": {"Routes", map[string]any{"lab": "t1", "document": `{"version":1,"serial":4,"routes":[],"proxies":[],"clients":[]}`},
			[]string{"document: routes x: document: must not have a serial, got 4; leave it out: the lab gives it"}},
		"routes that are no routes": {"Routes", map[string]any{"lab": "t1", "document": `{"version":1,"rutes":[]}`}, []string{"rutes"}},
	} {
		_, problems := e.check(c.kind, "x", values(t, c.inputs))
		if len(problems) != len(c.want) {
			t.Errorf("%s: got %q, want %d problems", name, problems, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(problems[i], want) {
				t.Errorf("%s: got %q, want %q", name, problems[i], want)
			}
		}
	}
}
