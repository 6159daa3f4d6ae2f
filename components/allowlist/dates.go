package allowlist

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Dates are the turning points in the life of an IP, UTC, whole seconds. The zero time stands for one that has not come.
type Dates struct {
	// Listed is when a document had the IP first: from then on partners could know it.
	Listed time.Time `json:"listed,omitzero"`
	// Announced is when it was said to come into use, zero for an IP that went into use at once.
	Announced time.Time `json:"announced,omitzero"`
	// Active is when it was first allowed to carry traffic.
	Active time.Time `json:"active,omitzero"`
	// Draining is when it stopped taking new connections.
	Draining time.Time `json:"draining,omitzero"`
	// Retired is when partners were told that they may remove it.
	Retired time.Time `json:"retired,omitzero"`
	// Expected is when the next state is due at the latest: active for an announced IP, retired for a draining one.
	Expected time.Time `json:"expected,omitzero"`
}

// DateFormat is how dates are written into stack files.
const DateFormat = time.RFC3339

// pulumiDate is how Pulumi hands a date on that a stack file has without quotes: as Go prints it, less the name of the time zone.
const pulumiDate = "2006-01-02 15:04:05 -0700"

// ParseDate reads a date of a stack file: a day (its midnight, UTC) or a time as RFC 3339 has it, with or without quotes.
func ParseDate(text string) (time.Time, error) {
	plain := text
	if words := strings.Fields(text); len(words) == 4 {
		plain = strings.Join(words[:3], " ")
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, pulumiDate} {
		if moment, err := time.Parse(layout, plain); err == nil {
			return moment.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, fmt.Errorf("needs a day as 2026-01-31 or a time as 2026-01-31T00:00:00Z, got %q", text)
}

// maxPeriod bounds periods: ten years mark a slip.
const maxPeriod = 3660 * 24 * time.Hour

// periodUnits are the units of periods. Months and years have no fixed length and are left out.
var periodUnits = map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}

// ParsePeriod reads a length of time as people agree on it: a whole number and a unit, for example 14d, 2w, 36h, or 0.
func ParsePeriod(text string) (time.Duration, error) {
	if text == "0" {
		return 0, nil
	}
	wrong := fmt.Errorf("needs a whole number and one of w, d, h, m, s, for example 14d, at most 3660d, got %q", text)
	if text == "" || len(text) > 10 {
		return 0, wrong
	}
	unit, known := periodUnits[text[len(text)-1]]
	count, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !known || err != nil || strings.HasPrefix(text, "+") || time.Duration(count) > maxPeriod/unit {
		return 0, wrong
	}
	return time.Duration(count) * unit, nil
}

// day writes a date for people.
func day(t time.Time) string {
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// latest is the later of two times; zero is the earliest.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// first is the first time that is not zero.
func first(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
