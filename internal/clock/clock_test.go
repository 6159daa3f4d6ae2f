package clock

import (
	"strings"
	"testing"
	"time"
)

func TestNow(t *testing.T) {
	t.Setenv(Env, "2026-03-01T12:00:00.5+02:00")
	if now, err := Now(); err != nil || now != time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) {
		t.Errorf("got %v, %v", now, err)
	}
	t.Setenv(Env, "")
	if now, err := Now(); err != nil || time.Since(now) > time.Minute || now.Location() != time.UTC {
		t.Errorf("got %v, %v", now, err)
	}
	t.Setenv(Env, "tomorrow")
	if _, err := Now(); err == nil || !strings.Contains(err.Error(), `got "tomorrow"`) {
		t.Errorf("got %v", err)
	}
}
