package agent_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

func TestForwardsListedHostsFromEverySourceAddressToEveryAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10", "203.0.113.11")
	l.zone.set("one.wild.example.net", "203.0.113.10", "203.0.113.11")
	l.publish(document(1, "api.example.com", "*.wild.example.net"))
	l.up()
	for _, host := range []string{"api.example.com", "one.wild.example.net"} {
		seen := map[greeting]int{}
		for range 60 {
			conn, g, err := l.ask(host, 443)
			if err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			conn.Close()
			seen[g]++
		}
		if len(seen) != 4 {
			t.Errorf("%s: 60 connections used %v; want 2 destinations from 2 sources each", host, seen)
		}
	}
	l.zone.mu.Lock()
	queries := l.zone.queries["api.example.com"] + l.zone.queries["one.wild.example.net"]
	l.zone.mu.Unlock()
	if queries > 30 {
		t.Errorf("120 connections to 2 names with a TTL of 1 s cost %d DNS queries", queries)
	}
	l.eventually(5*time.Second, "figures", func() error {
		if got := l.metric(`sallyport_connections_total{destination="partner"}`); got != "120" {
			return fmt.Errorf("%s connections counted", got)
		}
		return nil
	})
}

func TestReadyMeansThatHostsAreServed(t *testing.T) {
	for range 3 {
		l := newLab(t)
		l.zone.delay = 700 * time.Millisecond // longer than a start takes
		l.zone.set("api.example.com", "203.0.113.10")
		l.publish(document(1, "api.example.com"))
		l.up()
		for range 20 {
			l.must(l.served("api.example.com", 443))
		}
		// A new host that DNS is slow with does not take the proxy down.
		l.publish(document(2, "api.example.com", "new.example.com"))
		l.eventually(2*time.Second, "new document", func() error {
			l.must(l.ready())
			_, body, err := l.get("/readyz")
			if err == nil && !strings.Contains(body, "not looked up yet") {
				err = errors.New("the new host is not noted")
			}
			return err
		})
	}
}

func TestHostThatDoesNotResolveDoesNotTakeTheProxyDown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com", "missing.example.com"))
	l.up()
	l.must(l.served("api.example.com", 443))
	_, body, err := l.get("/readyz")
	if err != nil || !strings.Contains(body, "missing.example.com") {
		t.Errorf("the page does not name the host: %v\n%s", err, body)
	}
}

func TestRefusalIsLoggedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	for range 20 {
		l.must(l.refused("evil.example.org", 443))
	}
	l.eventually(5*time.Second, "figures", func() error {
		if got := l.metric(`sallyport_refusals_total{destination="",reason="unlisted"}`); got != "20" {
			return fmt.Errorf("%s refusals counted", got)
		}
		return nil
	})
	if got := strings.Count(l.log.String(), "evil.example.org"); got != 1 {
		t.Errorf("20 refusals of one name were logged %d times", got)
	}
}

func TestKilledHAProxyServesAgainWithinASecondWithoutRemovedHosts(t *testing.T) {
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("gone.example.com", "203.0.113.11")
	l.publish(document(1, "api.example.com", "gone.example.com"))
	l.up()
	l.must(l.served("gone.example.com", 443))
	l.publish(document(2, "api.example.com"))
	took := l.eventually(time.Second, "host removed", func() error { return l.refused("gone.example.com", 443) })
	t.Logf("a removed host is refused after %s", took)
	for _, victim := range []string{"worker", "master", "both"} {
		master, workers := l.haproxy()
		if master == 0 || len(workers) != 1 {
			t.Fatalf("haproxy: master %d, workers %v", master, workers)
		}
		if victim != "master" {
			l.must(syscall.Kill(workers[0], syscall.SIGKILL))
		}
		if victim != "worker" {
			// A master ends by itself when its worker is killed, and may be gone already.
			if err := syscall.Kill(master, syscall.SIGKILL); victim == "master" || !errors.Is(err, syscall.ESRCH) {
				l.must(err)
			}
		}
		took := l.eventually(time.Second, victim+" killed: serving", func() error {
			if now, _ := l.haproxy(); now == master || now == 0 {
				return errors.New("the old HAProxy is there")
			}
			return l.served("api.example.com", 443)
		})
		t.Logf("%s killed: serving after %s", victim, took)
		l.must(l.refused("gone.example.com", 443))
		l.eventually(time.Second, "ready", l.ready)
	}
	if got := l.metric("sallyport_haproxy_restarts_total"); got != "3" {
		t.Errorf("%s restarts counted, want 3", got)
	}
	if zombies := zombiesOf(l.command.Process.Pid); zombies != 0 {
		t.Errorf("%d zombies", zombies)
	}
}

func zombiesOf(parent int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return 0
	}
	zombies := 0
	for _, pid := range strings.Fields(string(text)) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			zombies++
		}
	}
	return zombies
}

func TestHungHAProxyIsReplaced(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	_, workers := l.haproxy()
	l.must(syscall.Kill(workers[0], syscall.SIGSTOP))
	l.eventually(4*time.Second, "not ready", func() error {
		if l.ready() == nil {
			return errors.New("ready with a stopped worker")
		}
		return nil
	})
	l.eventually(15*time.Second, "serving", func() error { return l.served("api.example.com", 443) })
}

func TestChangeOfPortsKeepsConnections(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	held, _, err := l.ask("api.example.com", 443)
	l.must(err)
	defer held.Close()
	more := document(2, "api.example.com")
	more.Routes = append(more.Routes, routes.Route{Name: "other", Hosts: []string{"api.example.com"}, Port: 8443})
	var failures atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.served("api.example.com", 443); err != nil {
				failures.Add(1)
				t.Logf("during the reload: %v", err)
			}
		}
	})
	l.publish(more)
	took := l.eventually(2*time.Second, "second port", func() error { return l.served("api.example.com", 8443) })
	t.Logf("a new port serves after %s", took)
	l.publish(document(3, "api.example.com"))
	took = l.eventually(2*time.Second, "second port closed", func() error {
		conn, err := l.dial(clientIP, proxyIP+":8443", time.Second)
		if err == nil {
			conn.Close()
			return errors.New("the port is open")
		}
		return nil
	})
	t.Logf("a removed port is closed after %s", took)
	close(stop)
	group.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d connections on the unchanged port failed", failures.Load())
	}
	_ = held.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := held.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if reply := make([]byte, 10); true {
		if _, err := io.ReadFull(held, reply); err != nil || string(reply) != "still here" {
			t.Errorf("the held connection was cut: %q, %v", reply, err)
		}
	}
	l.eventually(time.Second, "reloads", func() error {
		if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "2" {
			return fmt.Errorf("%s counted, want 2", got)
		}
		return nil
	})
}

func TestPortThatIsTakenLeavesTheOthersServing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("gone.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com", "gone.example.com"))
	l.up()
	var taken net.Listener
	l.must(testnet.In(l.proxy, func() (err error) {
		taken, err = net.Listen("tcp", proxyIP+":8443")
		return err
	}))
	more := document(2, "api.example.com")
	more.Routes = append(more.Routes, routes.Route{Name: "other", Hosts: []string{"api.example.com"}, Port: 8443})
	l.publish(more)
	l.eventually(time.Second, "removed host", func() error { return l.refused("gone.example.com", 443) })
	l.eventually(15*time.Second, "failed reload", func() error {
		if l.metric(`sallyport_haproxy_reloads_total{result="failed"}`) == "0" {
			return errors.New("no reload has failed")
		}
		return nil
	})
	if _, body, err := l.get("/readyz"); err != nil || !strings.Contains(body, "failed to start") {
		t.Errorf("the page does not tell: %v\n%s", err, body)
	}
	l.must(l.served("api.example.com", 443))
	master, _ := l.haproxy()
	l.must(syscall.Kill(master, syscall.SIGKILL))
	l.eventually(time.Second, "serving after a crash", func() error { return l.served("api.example.com", 443) })
	l.must(taken.Close())
	l.eventually(20*time.Second, "second port", func() error { return l.served("api.example.com", 8443) })
}

func TestAddressesFollowDNSAndOutliveIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	follows := func(want string) {
		t.Helper()
		l.eventually(3*time.Second, "address "+want, func() error {
			conn, g, err := l.ask("api.example.com", 443)
			if err != nil {
				return err
			}
			conn.Close()
			if g.To != want {
				return fmt.Errorf("connected to %s", g.To)
			}
			return nil
		})
	}
	follows("203.0.113.10")
	l.zone.set("api.example.com", "203.0.113.11")
	follows("203.0.113.11")
	l.zone.set("api.example.com", "10.0.0.2")
	l.eventually(3*time.Second, "private answer", func() error { return l.refused("api.example.com", 443) })
	l.zone.set("api.example.com", "203.0.113.11")
	follows("203.0.113.11")
	l.zone.kill(true)
	time.Sleep(3 * time.Second) // beyond the TTL
	follows("203.0.113.11")

	// A new agent goes by what the old one left.
	l.must(l.command.Process.Signal(syscall.SIGTERM))
	<-l.ended
	if l.exit != nil {
		t.Fatalf("exit after SIGTERM: %v", l.exit)
	}
	l.must(os.Remove(l.routesPath()))
	l.up()
	follows("203.0.113.11")
}

func TestBadDocumentsAreRefusedAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("other.example.com", "203.0.113.11")
	l.publish(document(5, "api.example.com"))
	l.up()
	replace := func(text string) {
		t.Helper()
		l.must(os.WriteFile(l.routesPath()+".tmp", []byte(text), 0o644))
		l.must(os.Rename(l.routesPath()+".tmp", l.routesPath()))
	}
	encoded := func(doc routes.Document) string {
		data, err := routes.Encode(&doc)
		l.must(err)
		return string(data)
	}
	huge := `{"version":1,"serial":9,"x":"` + strings.Repeat("x", 2<<20) + `"}`
	for name, test := range map[string]struct{ text, note string }{
		"not JSON":             {"hello", "JSON"},
		"empty":                {"", "JSON"},
		"unknown key":          {`{"version":1,"serial":9,"surprise":1}`, "surprise"},
		"other version":        {`{"version":2,"serial":9}`, "must be 1"},
		"lower serial":         {encoded(document(4, "other.example.com")), "must not be lower than 5"},
		"same serial, changed": {encoded(document(5, "other.example.com")), "must rise"},
		"too large":            {huge, "must not be larger"},
	} {
		replace(test.text)
		l.eventually(2*time.Second, name, func() error {
			code, body, err := l.get("/readyz")
			if err == nil && (code != http.StatusOK || !strings.Contains(body, test.note)) {
				err = fmt.Errorf("status %d, %s", code, body)
			}
			return err
		})
		l.must(l.served("api.example.com", 443))
		l.must(l.refused("other.example.com", 443))
	}
	l.publish(document(6, "other.example.com"))
	took := l.eventually(time.Second, "good document", func() error { return l.served("other.example.com", 443) })
	t.Logf("a new host is served after %s", took)
	l.must(l.refused("api.example.com", 443))
}

func TestClientsFollowTheDocument(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	nobody := document(1, "api.example.com")
	nobody.Clients = nil
	l.publish(nobody)
	l.up()
	l.must(l.refused("api.example.com", 443))
	l.publish(document(2, "api.example.com"))
	l.eventually(time.Second, "client listed", func() error { return l.served("api.example.com", 443) })
	refused := document(3, "api.example.com")
	refused.Refused = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}
	l.publish(refused)
	l.eventually(time.Second, "destination refused by the document", func() error { return l.refused("api.example.com", 443) })
	if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "0" {
		t.Errorf("%s reloads for a change of networks", got)
	}
}

func TestDrainLetsConnectionsEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	held, _, err := l.ask("api.example.com", 443)
	l.must(err)
	defer held.Close()
	l.must(l.command.Process.Signal(syscall.SIGTERM))
	l.eventually(200*time.Millisecond, "not ready", func() error {
		code, _, err := l.get("/readyz")
		if err == nil && code != http.StatusServiceUnavailable {
			err = fmt.Errorf("status %d", code)
		}
		return err
	})
	l.must(l.served("api.example.com", 443)) // until it has got about
	l.eventually(6*time.Second, "closed", func() error {
		conn, err := l.dial(clientIP, proxyIP+":443", time.Second)
		if err == nil {
			conn.Close()
			return errors.New("the port is open")
		}
		return nil
	})
	_ = held.SetDeadline(time.Now().Add(2 * time.Second))
	reply := make([]byte, 4)
	if _, err := held.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(held, reply); err != nil {
		t.Errorf("a held connection was cut in the drain: %v", err)
	}
	held.Close()
	select {
	case <-l.ended:
	case <-time.After(3 * time.Second):
		t.Fatal("the agent waits although no connection is left")
	}
	if l.exit != nil {
		t.Errorf("exit after the drain: %v", l.exit)
	}
}

func TestDrainEndsWithTheLimit(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.env = append(l.env, "SALLYPORT_DRAIN=2s")
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	held, _, err := l.ask("api.example.com", 443)
	l.must(err)
	defer held.Close()
	_, workers := l.haproxy()
	began := time.Now()
	l.must(l.command.Process.Signal(syscall.SIGTERM))
	<-l.ended
	if took := time.Since(began); took < 1900*time.Millisecond || took > 5*time.Second {
		t.Errorf("the agent ended after %s, want 2 s and a little", took)
	}
	if err := syscall.Kill(workers[0], 0); err == nil {
		t.Error("a worker outlives the agent")
	}
}

func TestChangesUnderLoadCutNothing(t *testing.T) {
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10", "203.0.113.11")
	l.publish(document(1, "api.example.com"))
	l.up()
	var held []net.Conn
	for range 100 {
		conn, _, err := l.ask("api.example.com", 443)
		l.must(err)
		defer conn.Close()
		held = append(held, conn)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	var done, failed atomic.Int64
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				done.Add(1)
				if err := l.served("api.example.com", 443); err != nil {
					failed.Add(1)
					t.Logf("under load: %v", err)
				}
			}
		})
	}
	for serial := uint64(2); serial < 12; serial++ {
		hosts := []string{"api.example.com"}
		for i := range 500 * (serial % 3) { // from none to more than is changed entry by entry
			hosts = append(hosts, fmt.Sprintf("host-%d-%d.example.org", serial, i))
		}
		l.publish(document(serial, hosts...))
		l.eventually(3*time.Second, "serial in force", func() error {
			if got := l.metric("sallyport_routes_serial"); got != fmt.Sprint(serial) {
				return fmt.Errorf("serial %s", got)
			}
			return nil
		})
	}
	close(stop)
	group.Wait()
	for i, conn := range held {
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, err := conn.Write([]byte("x"))
		if _, readErr := io.ReadFull(conn, make([]byte, 1)); err != nil || readErr != nil {
			t.Errorf("held connection %d was cut: %v %v", i, err, readErr)
		}
	}
	if failed.Load() > 0 || done.Load() < 50 {
		t.Errorf("%d of %d new connections failed", failed.Load(), done.Load())
	}
}
