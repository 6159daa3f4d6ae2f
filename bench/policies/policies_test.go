package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTheMedianOfTheDifferencesCounts(t *testing.T) {
	ms := time.Millisecond
	// A machine that was busy twice: the medians of both sides alone would differ by more than a second.
	pairs := []pair{
		{without: 1000 * ms, with: 1400 * ms, cpuWith: 300 * ms}, {without: 1000 * ms, with: 1500 * ms, cpuWith: 300 * ms}, {without: 1100 * ms, with: 4000 * ms},
		{without: 3000 * ms, with: 3300 * ms, cpuWith: 300 * ms}, {without: 3100 * ms, with: 3700 * ms},
	}
	var out bytes.Buffer
	if err := judge(&out, "s", pairs); err != nil || !strings.Contains(out.String(), "they add 0.50 s (0.30 to 2.90), at most 1.00, and 0.30 s of CPU time") {
		t.Errorf("%v: %s", err, out.String())
	}
	for i := range pairs {
		pairs[i].with += time.Second
	}
	if err := judge(&out, "s", pairs); err == nil || !strings.Contains(err.Error(), "must add at most 1.00 s, got 1.50") {
		t.Error(err)
	}
	if _, err := run("..", "s", 4); err == nil {
		t.Error("four rounds are enough")
	}
}
