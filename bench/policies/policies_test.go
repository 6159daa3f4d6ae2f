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
	pairs := []pair{{1000 * ms, 1400 * ms}, {1000 * ms, 1500 * ms}, {1100 * ms, 4000 * ms}, {3000 * ms, 3300 * ms}, {3100 * ms, 3700 * ms}}
	var out bytes.Buffer
	if err := judge(&out, "s", pairs); err != nil || !strings.Contains(out.String(), "they add 0.50 s (0.30 to 2.90)") {
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
