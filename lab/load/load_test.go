package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/pki"
)

// TestMain lets the test binary be its own child processes: "child load" or "child partner <configuration>".
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "child" {
		os.Exit(m.Run())
	}
	var err error
	switch os.Args[2] {
	case "load":
		err = Main(context.Background(), os.Stdin, os.Stdout, nil)
	case "partner":
		err = partner.Run(context.Background(), os.Args[3], nil, func() { fmt.Println("ready") })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// peer is a partner process.
type peer struct {
	caFile, file string
	config       partner.Config
	command      *exec.Cmd
}

// newPeer prepares a partner for api.example.com; start runs it.
func newPeer(t *testing.T, address string, port int) *peer {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.Open(dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.Leaf(dir, "partner", []string{"api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{caFile: filepath.Join(dir, pki.CertificateFile), file: filepath.Join(dir, "p.json"), config: partner.Config{
		Name: "p", Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: port, Certificate: certificate, Key: key,
		Control: filepath.Join(dir, "c.sock"),
	}}
	p.write(t)
	return p
}

func (p *peer) write(t *testing.T) {
	t.Helper()
	content, err := json.Marshal(p.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs the partner; begin starts the process, in a namespace or not.
func (p *peer) start(t *testing.T, begin func(*exec.Cmd) error) {
	t.Helper()
	p.command = exec.Command(os.Args[0], "child", "partner", p.file)
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := begin(p.command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal("the partner is not ready: ", err)
	}
}

func (p *peer) kill() {
	if p.command != nil {
		_ = p.command.Process.Signal(syscall.SIGKILL)
		_ = p.command.Wait()
		p.command = nil
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// local starts a partner on 127.0.0.1 and returns it with a Spec for it.
func local(t *testing.T) (*peer, Spec) {
	t.Helper()
	p := newPeer(t, "127.0.0.1", freePort(t))
	p.start(t, (*exec.Cmd).Start)
	return p, Spec{Host: "api.example.com", Port: p.config.Port, Addresses: p.config.Addresses, CAFile: p.caFile,
		RatePerSecond: 100, DurationSeconds: 1, TimeoutSeconds: 2}
}

func run(t *testing.T, spec Spec) Result {
	t.Helper()
	result, err := Run(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if sum := result.OK + result.Failed; sum != result.Connections {
		t.Errorf("%d ok + %d failed is not %d", result.OK, result.Failed, result.Connections)
	}
	return result
}

func TestLoadOverTLSAndPlain(t *testing.T) {
	p, spec := local(t)
	for _, plain := range []bool{false, true} {
		if err := partner.Reset(p.config.Control); err != nil {
			t.Fatal(err)
		}
		spec.Plain, spec.Poisson = plain, plain
		spec.HoldSeconds, spec.HoldExponential = 0.05, true
		result := run(t, spec)
		if result.Failed > 0 || result.Connections < 60 || result.Connections > 140 || result.Sources["127.0.0.1"] != result.OK {
			t.Errorf("plain %t: %+v", plain, result)
		}
		if result.Total.P50 <= 0 || result.Total.P99 < result.Total.P50 || result.Connect.Max > result.Total.Max {
			t.Errorf("latencies: %+v %+v", result.Connect, result.Total)
		}
		stats, err := partner.Stats(p.config.Control)
		if err != nil {
			t.Fatal(err)
		}
		handshakes := result.OK
		if plain {
			handshakes = 0
		}
		if stats.Connections != result.OK || stats.Handshakes != handshakes || stats.Open != 0 {
			t.Errorf("plain %t: the partner saw %+v of %d", plain, stats, result.OK)
		}
	}
}

func TestFailuresHaveTheirClass(t *testing.T) {
	p, good := local(t)
	good.DurationSeconds, good.TimeoutSeconds = 0.2, 0.3
	silent, err := net.Listen("tcp4", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	hangsUp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangsUp.Close()
	go func() {
		for {
			conn, err := hangsUp.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			conn.Close()
		}
	}()
	strangers := newPeer(t, "127.0.0.1", 1).caFile
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	tests := map[Class]func(*Spec){
		Refused: func(s *Spec) { s.Port = freePort(t) },
		Timeout: func(s *Spec) { s.Port = port(silent) },
		EOF:     func(s *Spec) { s.Port = port(hangsUp) },
		TLS:     func(s *Spec) { s.CAFile = strangers },
		DNS:     func(s *Spec) { s.Addresses, s.Resolver = nil, serveDNS(t) },
		Overload: func(s *Spec) {
			s.InFlight, s.HoldSeconds, s.RatePerSecond = 1, 5, 20
		},
	}
	for class, change := range tests {
		t.Run(string(class), func(t *testing.T) {
			spec := good
			if class == DNS {
				spec.Host = "missing.example.com"
			}
			change(&spec)
			if class == Overload {
				spec.HoldSeconds = 0.5
			}
			result := run(t, spec)
			if result.Failed == 0 || result.Failures[class] != result.Failed {
				t.Errorf("%+v", result)
			}
		})
	}
	p.config.Enforce = true
	p.write(t)
	time.Sleep(600 * time.Millisecond)
	for _, plain := range []bool{false, true} {
		good.Plain = plain
		if result := run(t, good); result.Failures[Status] != result.Connections || result.Sources["127.0.0.1"] != result.Connections {
			t.Errorf("refused by the allow list, plain %t: %+v", plain, result)
		}
	}
}

// serveDNS answers api.example.com with 127.0.0.9 and 127.0.0.1, and nothing else.
func serveDNS(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		if q.Question[0].Name == "api.example.com." {
			answer.Rcode = dns.RcodeSuccess
			for _, a := range []string{"127.0.0.9", "127.0.0.1"} {
				record, _ := dns.NewRR("api.example.com. 1 IN A " + a)
				answer.Answer = append(answer.Answer, record)
			}
		}
		w.WriteMsg(answer)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return conn.LocalAddr().String()
}

func TestTheNextAttemptTakesTheNextAddress(t *testing.T) {
	_, spec := local(t)
	spec.Addresses, spec.Resolver = nil, serveDNS(t) // 127.0.0.9 refuses
	if result := run(t, spec); result.OK != 0 || result.Failures[Refused] != result.Connections {
		t.Errorf("one attempt: %+v", result)
	}
	spec.Attempts = 2
	result := run(t, spec)
	if result.Failed != 0 || result.Recovered != result.Connections || result.FirstFailures[Refused] != result.Connections ||
		result.Attempts != 2*result.Connections {
		t.Errorf("two attempts: %+v", result)
	}
}

func TestHeldConnectionsNoticeACut(t *testing.T) {
	for _, plain := range []bool{false, true} {
		p, spec := local(t)
		spec.Plain, spec.Held, spec.HeartbeatSeconds, spec.DurationSeconds, spec.RatePerSecond = plain, 50, 0.1, 1, 0
		result := run(t, spec)
		if result.Held.Opened != 50 || len(result.Held.Cut) != 0 || result.ElapsedSeconds < 0.9 {
			t.Errorf("plain %t, undisturbed: %+v", plain, result)
		}
		time.AfterFunc(500*time.Millisecond, func() { _ = p.command.Process.Signal(syscall.SIGKILL) })
		result = run(t, spec)
		if result.Held.Opened != 50 || len(result.Held.Cut) != 50 {
			t.Errorf("plain %t, killed: %+v", plain, result)
		}
		for _, cut := range result.Held.Cut {
			if cut.AtSeconds < 0.2 || cut.AtSeconds > 0.8 || cut.Class != EOF && cut.Class != Reset {
				t.Errorf("plain %t: killed at about 0.4 s, noticed %+v", plain, cut)
			}
		}
		p.kill()
		if result = run(t, spec); result.Held.Unopened != 50 || len(result.Errors) == 0 {
			t.Errorf("plain %t, dead: %+v", plain, result)
		}
	}
}

func TestCountEndsARun(t *testing.T) {
	_, spec := local(t)
	spec.Count, spec.DurationSeconds, spec.RatePerSecond = 25, 60, 500
	if result := run(t, spec); result.Connections != 25 || result.ElapsedSeconds > 5 {
		t.Errorf("%+v", result)
	}
}

func TestACancelledRunGivesItsResult(t *testing.T) {
	_, spec := local(t)
	spec.DurationSeconds, spec.Held = 60, 3
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	result, err := Run(ctx, spec, nil)
	if err != nil || result.OK == 0 || result.Failed != 0 || result.ElapsedSeconds > 5 || len(result.Held.Cut) != 0 {
		t.Errorf("%v: %+v", err, result)
	}
}

func TestBadSpecificationsGiveEveryProblem(t *testing.T) {
	_, err := Run(context.Background(), Spec{Host: "a b", Path: "x", RatePerSecond: math.NaN(), Attempts: 21, Resolver: "dns.example.com",
		Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, Port: 70000, HoldSeconds: -1}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, problem := range []string{"host:", "path:", "ratePerSecond:", "attempts:", "resolver:", "IPv4", "port:", "holdSeconds:",
		"durationSeconds:", "exactly one", "caFile:"} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is missing in:\n%v", problem, err)
		}
	}
	if err := Main(context.Background(), strings.NewReader(`{"hots":"x"}`), nil, nil); err == nil || !strings.Contains(err.Error(), "hots") {
		t.Errorf("unknown field: %v", err)
	}
}

func TestPoissonGaps(t *testing.T) {
	g := generator{spec: Spec{RatePerSecond: 100, Poisson: true}, random: rand.New(rand.NewPCG(7, 7))}
	var sum, squares float64
	const n = 20000
	for range n {
		gap := g.gap().Seconds()
		sum += gap
		squares += gap * gap
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean-0.01) > 0.0004 || math.Abs(deviation-0.01) > 0.0006 {
		t.Errorf("mean %g, deviation %g, want 0.01 both", mean, deviation)
	}
}

func TestLatencyQuantiles(t *testing.T) {
	var values []float64
	for i := range 101 {
		values = append(values, float64(100-i))
	}
	if got := latency(values); got != (Latency{50, 90, 99, 100}) {
		t.Errorf("%+v", got)
	}
	if latency(nil) != (Latency{}) || latency([]float64{3}) != (Latency{3, 3, 3, 3}) {
		t.Error("edges")
	}
}

func TestClassify(t *testing.T) {
	for err, want := range map[error]Class{
		syscall.ECONNREFUSED: Refused, syscall.ECONNRESET: Reset, syscall.ETIMEDOUT: Timeout, context.DeadlineExceeded: Timeout, errors.New("x"): Other,
	} {
		if got := classify(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
