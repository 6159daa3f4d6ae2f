package cloudnat

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// gatewayOf makes one gateway with IPs that serve, for example "nat-1 nat-2".
func gatewayOf(active string) GatewayMemory {
	g := GatewayMemory{Router: "r", Name: "g", MinPorts: 1024, Ranges: []string{"nodes", "nodes/pods"}, Active: map[string]string{}}
	for name := range strings.FieldsSeq(active) {
		g.Active[name] = Own
	}
	return g
}

func draining(g GatewayMemory, name string, since time.Time) GatewayMemory {
	g.Draining = map[string]Drain{name: {Own, since}}
	return g
}

func one(g GatewayMemory) Memory { return Memory{Gateways: map[string]GatewayMemory{"nat": g}} }

func TestStepsThatCutConnectionsAreRefused(t *testing.T) {
	base := gatewayOf("nat-1 nat-2 nat-3")
	with := func(change func(*GatewayMemory)) GatewayMemory {
		g := gatewayOf("nat-1 nat-2 nat-3")
		change(&g)
		return g
	}
	dynamic := with(func(g *GatewayMemory) { g.Dynamic, g.MaxPorts = true, 8192 })
	for name, test := range map[string]struct {
		before, after GatewayMemory
		acknowledged  Acknowledgement
		refused       string // empty: allowed
	}{
		"nothing changes":      {before: base, after: base},
		"an IP is added":       {before: gatewayOf("nat-1"), after: base},
		"ports are raised":     {before: base, after: with(func(g *GatewayMemory) { g.MinPorts = 2048 })},
		"ports are lowered":    {before: base, after: with(func(g *GatewayMemory) { g.MinPorts = 512 }), refused: "must not lower the ports per VM from 1024 without acknowledgement"},
		"with acknowledgement": {before: base, after: with(func(g *GatewayMemory) { g.MinPorts = 512 }), acknowledged: LowerPorts},
		"with another acknowledgement": {before: base, after: with(func(g *GatewayMemory) { g.MinPorts = 512 }), acknowledged: DynamicPorts,
			refused: "add lower-ports to sallyport:gcp.nat.acknowledge"},
		"the maximum is lowered":     {before: dynamic, after: with(func(g *GatewayMemory) { g.Dynamic, g.MaxPorts = true, 4096 }), refused: "must not lower the maximum of ports per VM from 8192"},
		"the maximum is raised":      {before: dynamic, after: with(func(g *GatewayMemory) { g.Dynamic, g.MaxPorts = true, 16384 })},
		"dynamic is switched on":     {before: base, after: dynamic, refused: "must not switch dynamic port allocation on without acknowledgement"},
		"dynamic is switched off":    {before: dynamic, after: base, refused: "must not switch dynamic port allocation off"},
		"dynamic, acknowledged":      {before: base, after: dynamic, acknowledged: DynamicPorts},
		"an IP leaves without drain": {before: base, after: gatewayOf("nat-1 nat-3"), refused: "sallyport:gcp.nat gateway nat: nat-2: must not leave nat without a drain"},
		"an IP begins to drain":      {before: base, after: draining(gatewayOf("nat-1 nat-3"), "nat-2", time.Time{})},
		"an IP goes to a rule":       {before: base, after: with(func(g *GatewayMemory) { g.Active["nat-2"] = "rule bank" }), refused: "nat-2: must not leave nat without a drain"},
		"a drained IP leaves":        {before: draining(gatewayOf("nat-1"), "nat-2", noon.Add(-20*time.Minute)), after: gatewayOf("nat-1")},
		"a drained IP leaves too early": {before: draining(gatewayOf("nat-1"), "nat-2", noon.Add(-20*time.Minute+time.Second)), after: gatewayOf("nat-1"),
			refused: "nat-2: must drain until 2026-11-20T12:00:01Z before it leaves: it has drained since 2026-11-20T11:40:01Z"},
		"a drained IP comes back":                   {before: draining(gatewayOf("nat-1"), "nat-2", noon), after: gatewayOf("nat-1 nat-2")},
		"a draining IP keeps draining":              {before: draining(gatewayOf("nat-1"), "nat-2", noon), after: draining(gatewayOf("nat-1"), "nat-2", time.Time{})},
		"a range goes":                              {before: base, after: with(func(g *GatewayMemory) { g.Ranges = []string{"nodes"} }), refused: `must not lose a range without acknowledgement: every connection from it is cut, got "nodes/pods"`},
		"a range goes, acknowledged":                {before: base, after: with(func(g *GatewayMemory) { g.Ranges = nil }), acknowledged: RemoveRanges},
		"a range comes":                             {before: base, after: with(func(g *GatewayMemory) { g.Ranges = append(g.Ranges, "more") })},
		"no acknowledgement spares an IP its drain": {before: base, after: gatewayOf("nat-1 nat-3"), acknowledged: RemoveRanges, refused: "nat-2: must not leave"},
	} {
		t.Run(name, func(t *testing.T) {
			previous := one(test.before)
			c := Change{Previous: &previous, Next: one(test.after), Now: noon, MinDrain: 20 * time.Minute, Place: "sallyport:gcp.nat"}
			if test.acknowledged != "" {
				c.Acknowledged = []Acknowledgement{test.acknowledged}
			}
			_, err := c.Check()
			if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("got %v, want %q", err, test.refused)
			}
			if needless := c.Needless(); test.refused == "" && len(needless) > 0 {
				t.Errorf("%v is called needless", needless)
			}
		})
	}
}

func TestEverythingIsRefusedAtOnceAndAGatewayIsNotForgotten(t *testing.T) {
	previous := Memory{Gateways: map[string]GatewayMemory{"nat": gatewayOf("nat-1 nat-2"), "batch": gatewayOf("nat-batch-1")}}
	after := gatewayOf("nat-1")
	after.MinPorts, after.Ranges = 64, nil
	c := Change{Previous: &previous, Next: one(after), Now: noon, MinDrain: time.Minute, Place: "sallyport:gcp.nat"}
	_, err := c.Check()
	for _, want := range []string{"lower the ports", "nat-2: must not leave", `got "nodes"`, `got "nodes/pods"`, "gateway batch: must not go without acknowledgement"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

func TestADrainBeginsOnceAndKeepsItsDate(t *testing.T) {
	before := one(gatewayOf("nat-1 nat-2"))
	want := one(draining(gatewayOf("nat-1"), "nat-2", time.Time{}))
	first, err := Change{Previous: &before, Next: want, Now: noon}.Check()
	if err != nil || !first.Gateways["nat"].Draining["nat-2"].Since.Equal(noon) {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := Change{Previous: &first, Next: want, Now: noon.Add(time.Hour)}.Check()
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("a run without a change moved the date: %+v, %v", second, err)
	}
}

// Cloud NAT refuses to drain an IP that the gateway does not have.
func TestWhatNeverWasOnTheGatewayIsNotDrained(t *testing.T) {
	want := one(draining(gatewayOf("nat-1"), "nat-2", time.Time{}))
	before := one(gatewayOf("nat-1"))
	other := gatewayOf("nat-1")
	other.Active["nat-2"] = "rule bank"
	ofRule := one(other)
	for name, previous := range map[string]*Memory{"before the first update": nil, "never attached": &before} {
		got, err := Change{Previous: previous, Next: want, Now: noon}.Check()
		if err != nil || len(got.Gateways["nat"].Draining) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := (Change{Previous: &ofRule, Next: want, Now: noon}).Check(); err == nil {
		t.Errorf("an IP of a rule drains on the gateway's own list: %+v", got)
	}
}

func TestNeedlessAcknowledgementsAreNamed(t *testing.T) {
	previous, after := one(gatewayOf("nat-1")), gatewayOf("nat-1")
	after.MinPorts = 512
	c := Change{Previous: &previous, Next: one(after), Now: noon, Acknowledged: []Acknowledgement{LowerPorts, DynamicPorts}}
	if got := c.Needless(); !reflect.DeepEqual(got, []Acknowledgement{DynamicPorts}) {
		t.Errorf("%v", got)
	}
}

func TestAMemorySurvivesTheStacksOutputs(t *testing.T) {
	m := one(draining(gatewayOf("nat-1"), "nat-2", noon))
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Memory
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(m, back) {
		t.Errorf("%s: %+v, %v", text, back, err)
	}
}
