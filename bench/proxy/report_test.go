package main

import (
	"math"
	"testing"

	"github.com/sallyport/sallyport/bench/rig"
)

func TestMedian(t *testing.T) {
	for name, tt := range map[string]struct {
		values []float64
		want   float64
	}{
		"none":       {nil, 0},
		"one":        {[]float64{3}, 3},
		"odd number": {[]float64{9, 1, 5}, 5},
		"even":       {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("%s: got %g, want %g", name, got, tt.want)
		}
	}
}

// TestRatiosAreOfTheSameRound: a machine that slows down from round to round must not change a ratio.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	c := &column{values: map[rig.Kind][]float64{rig.Ours: {20, 10, 2}, rig.Nginx: {10, 5, 1}, rig.Stock: {0, 0, 0}}}
	if got, ok := c.ratio(rig.Ours, rig.Nginx); !ok || got != 2 {
		t.Errorf("got %g, %v, want 2", got, ok)
	}
	for _, to := range []rig.Kind{rig.Direct, rig.Stock} {
		if got, ok := c.ratio(rig.Ours, to); ok {
			t.Errorf("ratio to %s: got %g, want none", to, got)
		}
	}
}

func TestGoalsJudgeOnlyWhatWasMeasured(t *testing.T) {
	s := &session{}
	if goals := s.goals(); len(goals) != 0 {
		t.Errorf("nothing measured: got %v", goals)
	}
	table := s.table("connect", "")
	rate := table.column("rate", "conn/s", higher)
	for range 3 {
		rate.add(rig.Ours, 94)
		rate.add(rig.Nginx, 100)
	}
	if goals := s.goals(); len(goals) != 1 || goals[0].Met || goals[0].Got != 0.94 {
		t.Errorf("0.94 of nginx: got %+v", goals)
	}
}

func TestSlope(t *testing.T) {
	var rising []sample
	for i := range 10 {
		rising = append(rising, sample{Seconds: float64(10 * i), PSS: 50 + 0.1*float64(10*i)})
	}
	if got := slope(rising, func(one sample) float64 { return one.PSS }); math.Abs(got-0.1) > 1e-9 {
		t.Errorf("got %g MiB/s, want 0.1", got)
	}
	if got := slope(rising[:1], func(one sample) float64 { return one.PSS }); got != 0 {
		t.Errorf("one sample: got %g, want 0", got)
	}
}

func TestTenantsFitInADocument(t *testing.T) {
	seen := map[string]bool{}
	for _, route := range tenantRoutes(7) {
		for _, host := range route.Hosts {
			seen[host] = true
		}
	}
	if want := tenants*hostsPerTenant - rig.OriginHosts; len(seen) != want || !seen[generationHost(7)] {
		t.Errorf("%d hosts, want %d; the generation's own: %v", len(seen), want, seen[generationHost(7)])
	}
}
