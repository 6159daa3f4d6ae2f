package accesslog

import (
	"sync"
	"time"
)

const (
	// period is how often one thing is said.
	period = time.Minute
	// maxKeys bounds the memory of what was said: names come from clients.
	maxKeys = 1000
)

// Limiter decides what is said. The zero value is ready to use. Safe for concurrent use.
type Limiter struct {
	mu    sync.Mutex
	since time.Time
	seen  map[[2]string]uint64
	rest  uint64 // kept silent because there were too many different things
}

// Silenced is a thing that was kept silent so many times in the last period.
type Silenced struct {
	Reason, Host string
	Count        uint64
}

// Allow reports whether to say the thing now: it has not been said in this period. When a new period has begun it also
// returns what was kept silent in the last one.
func (l *Limiter) Allow(now time.Time, reason, host string) (bool, []Silenced) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var silenced []Silenced
	if l.seen == nil || now.Sub(l.since) >= period {
		silenced = l.turn()
		l.since, l.seen = now, map[[2]string]uint64{}
	}
	key := [2]string{reason, host}
	count, ok := l.seen[key]
	switch {
	case ok:
		l.seen[key] = count + 1
	case len(l.seen) >= maxKeys:
		l.rest++
	default:
		l.seen[key] = 0
		return true, silenced
	}
	return false, silenced
}

func (l *Limiter) turn() []Silenced {
	var all []Silenced
	for key, count := range l.seen {
		if count > 0 {
			all = append(all, Silenced{Reason: key[0], Host: key[1], Count: count})
		}
	}
	if l.rest > 0 {
		all = append(all, Silenced{Reason: "others", Count: l.rest})
		l.rest = 0
	}
	return all
}
