// Package clock tells the time to what writes dates into documents, so that a test can play a year in minutes.
package clock

import (
	"fmt"
	"os"
	"time"
)

// Env names the environment variable that sets the clock, as RFC 3339. Tests set it; empty means the real time.
const Env = "SALLYPORT_NOW"

// Now returns the time in UTC, whole seconds. A value of Env that is no time is an error, so that a slip never passes for today.
func Now() (time.Time, error) {
	text := os.Getenv(Env)
	if text == "" {
		return time.Now().UTC().Truncate(time.Second), nil
	}
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: needs a time as 2026-01-31T00:00:00Z, got %q", Env, text)
	}
	return now.UTC().Truncate(time.Second), nil
}
