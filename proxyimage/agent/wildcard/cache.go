package wildcard

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

const (
	minTTL = time.Second
	maxTTL = 5 * time.Minute
	// retry is the pause after a lookup that failed; what is known is used meanwhile.
	retry = time.Second
	// staleWait is how long a query waits for a lookup when there is an old answer: less than HAProxy waits.
	staleWait = 300 * time.Millisecond
	// freshWait is how long a query waits when there is none: HAProxy asks again after 2 s and gives up after that.
	freshWait = 4 * time.Second
	// maxNames bounds the memory: names below a wildcard are made up by clients at will. The least used go first.
	maxNames = 10000
	// maxLookups bounds the lookups under way at once.
	maxLookups = 128
)

// errBusy is returned when too many lookups are under way: somebody makes up names.
var errBusy = errors.New("too many lookups at once")

// cache holds the answers for names below wildcards.
type cache struct {
	lookup func(ctx context.Context, name string) (vetting.Answer, error)
	slots  chan struct{}

	mu     sync.Mutex
	names  map[string]*list.Element
	recent *list.List // of *entry, the most recently used first
}

// entry is what is known of a name. Guarded by cache.mu.
type entry struct {
	name      string
	addresses []netip.Addr // last good answer, judged by nobody yet
	err       error        // of the last lookup; ErrNoSuchName is an answer too
	expires   time.Time
	turn      uint64
	pending   chan struct{} // closed when the lookup under way has ended; nil if none is
}

func newCache(lookup func(context.Context, string) (vetting.Answer, error)) *cache {
	return &cache{lookup: lookup, slots: make(chan struct{}, maxLookups), names: map[string]*list.Element{}, recent: list.New()}
}

// get returns the addresses of a name, and a number that differs from call to call.
func (c *cache) get(name string, now time.Time) ([]netip.Addr, uint64, error) {
	c.mu.Lock()
	e := c.entry(name)
	if now.Before(e.expires) {
		defer c.mu.Unlock()
		return e.answer()
	}
	wait := freshWait
	if len(e.addresses) > 0 {
		wait = staleWait
	}
	pending := e.pending
	if pending == nil {
		select {
		case c.slots <- struct{}{}:
			pending = make(chan struct{})
			e.pending = pending
			go c.refresh(e, pending)
		default:
			defer c.mu.Unlock()
			if len(e.addresses) > 0 {
				return e.answer()
			}
			return nil, 0, errBusy
		}
	}
	c.mu.Unlock()
	select {
	case <-pending:
	case <-time.After(wait):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.answer()
}

// entry returns the entry of a name, a new one if need be, and makes it the most recently used.
func (c *cache) entry(name string) *entry {
	if at, ok := c.names[name]; ok {
		c.recent.MoveToFront(at)
		return at.Value.(*entry)
	}
	e := &entry{name: name, err: errors.New("not resolved in time")}
	c.names[name] = c.recent.PushFront(e)
	if c.recent.Len() > maxNames {
		oldest := c.recent.Remove(c.recent.Back()).(*entry)
		delete(c.names, oldest.name)
	}
	return e
}

// answer is what to say now: a denial, else the last good addresses, else the error.
func (e *entry) answer() ([]netip.Addr, uint64, error) {
	if len(e.addresses) == 0 {
		return nil, 0, e.err
	}
	e.turn++
	return e.addresses, e.turn, nil
}

// refresh looks a name up.
func (c *cache) refresh(e *entry, pending chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*freshWait)
	defer cancel()
	answer, err := c.lookup(ctx, e.name)
	now := time.Now()
	<-c.slots
	c.mu.Lock()
	defer c.mu.Unlock()
	e.pending, e.err = nil, err
	switch {
	case err == nil:
		e.addresses, e.expires = answer.Addresses, now.Add(min(max(answer.TTL, minTTL), maxTTL))
	case errors.Is(err, vetting.ErrNoSuchName):
		e.addresses, e.expires = nil, now.Add(min(max(answer.TTL, minTTL), maxTTL))
	default:
		e.expires = now.Add(retry)
	}
	close(pending)
}
