package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// assign returns the slots with the wanted addresses in them. An address that has a slot keeps it, and with it its pooled
// connections. If there are more addresses than slots, those that have one come first.
func assign(slots, want []netip.Addr) []netip.Addr {
	next := make([]netip.Addr, haproxycfg.PoolSlots)
	for i, ip := range slots {
		if slices.Contains(want, ip) {
			next[i] = ip
		}
	}
	for _, ip := range want {
		if slices.Contains(next, ip) {
			continue
		}
		free := slices.Index(next, netip.Addr{})
		if free < 0 {
			break
		}
		next[free] = ip
	}
	return next
}

// server is what HAProxy knows of one slot.
type server struct {
	address netip.Addr // zero: in maintenance
	limit   int        // requests under way, 0: any number
}

// serverPool keeps the servers of the running HAProxy equal to the slots of the backends. Not for concurrent use.
type serverPool struct {
	admin *haproxy.Admin
	known map[string]server // by "<backend>/<server>"; absent if not known
}

// forget makes the next push say everything.
func (s *serverPool) forget() { clear(s.known) }

// maxCommands is how many commands are sent at once. HAProxy works on nothing else meanwhile.
const maxCommands = 50

// push tells HAProxy what it does not know. Every backend must be in its configuration, and have slots.
func (s *serverPool) push(ctx context.Context, backends []haproxycfg.Backend) error {
	want := map[string]server{}
	var commands []string
	for _, b := range backends {
		for slot := range haproxycfg.PoolSlots {
			name := b.Name + "/" + haproxycfg.SlotServer(slot)
			w := server{limit: b.ServerLimit()}
			if slot < len(b.Addresses) {
				w.address = b.Addresses[slot]
			}
			want[name] = w
			commands = append(commands, s.commands(name, w, b.Port)...)
		}
	}
	s.forgetAll(want)
	for chunk := range slices.Chunk(commands, maxCommands) {
		if err := s.send(ctx, chunk); err != nil {
			s.forget()
			return err
		}
	}
	s.known = want
	return nil
}

// forgetAll forgets servers that are not wanted any more: one of the same name may come back with other values.
func (s *serverPool) forgetAll(want map[string]server) {
	for name := range s.known {
		if _, ok := want[name]; !ok {
			delete(s.known, name)
		}
	}
}

// commands returns what turns a server into the wanted one.
func (s *serverPool) commands(name string, want server, port int) []string {
	have, known := s.known[name]
	if known && have == want {
		return nil
	}
	var all []string
	if want.limit != 0 && (!known || have.limit != want.limit) {
		all = append(all, "set maxconn server "+name+" "+strconv.Itoa(want.limit))
	}
	if !want.address.IsValid() {
		return append(all, "set server "+name+" state maint")
	}
	if !known || have.address != want.address {
		all = append(all, "set server "+name+" addr "+want.address.String()+" port "+strconv.Itoa(port))
	}
	return append(all, "set server "+name+" state ready")
}

// send sends commands and checks that none was refused. `set server addr` says what it did.
func (s *serverPool) send(ctx context.Context, commands []string) error {
	reply, err := s.admin.Do(ctx, strings.Join(commands, "; "))
	if err != nil {
		return err
	}
	for line := range strings.Lines(reply) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "IP changed from") && !strings.HasPrefix(line, "no need to change") {
			return fmt.Errorf("haproxy admin socket: %.80q and %d more: %.200q", commands[0], len(commands)-1, line)
		}
	}
	return nil
}
