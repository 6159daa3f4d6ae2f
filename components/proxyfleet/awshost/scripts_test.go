package awshost

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// machine is a stand-in for an instance: programs that only write down what they are asked, and the instance metadata service.
type machine struct {
	t        *testing.T
	dir      string
	metadata *httptest.Server
	mu       sync.Mutex
	state    string // target lifecycle state, empty: not of a group
	tokens   int
}

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	session   = "IQoJb3JpZ2luX2Vj//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="
)

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	m.metadata = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.metadata.Close)
	return m
}

// serve is the instance metadata service, version 2 only.
func (m *machine) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "" {
		m.tokens++
		fmt.Fprint(w, "token")
		return
	}
	if r.Header.Get("X-aws-ec2-metadata-token") != "token" {
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/latest/meta-data/iam/security-credentials/":
		fmt.Fprint(w, "fleet-role")
	case "/latest/meta-data/iam/security-credentials/fleet-role":
		fmt.Fprintf(w, "{\n  \"Code\" : \"Success\",\n  \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : %q,\n  \"SecretAccessKey\" : %q,\n  \"Token\" : %q\n}", accessKey, secretKey, session)
	case "/latest/meta-data/autoscaling/target-lifecycle-state":
		if m.state == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, m.state)
	default:
		http.NotFound(w, r)
	}
}

func (m *machine) become(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = state
}

// program puts a shell script on the machine's PATH. It writes its name and arguments to the file "calls" first.
func (m *machine) program(name, script string) {
	m.t.Helper()
	text := fmt.Sprintf("#!/bin/bash\necho \"%s $*\" >>%s\n%s\n", name, filepath.Join(m.dir, "calls"), script)
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) calls() string {
	text, err := os.ReadFile(filepath.Join(m.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	return string(text)
}

// command is a script as the unit would run it.
func (m *machine) command(script string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(m.t.Context(), "bash", "-c", script)
	cmd.Env = append([]string{"PATH=" + m.dir + ":/usr/sbin:/usr/bin:/sbin:/bin", "METADATA=" + m.metadata.URL, "no_proxy=*"}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	return cmd, &out
}

// ecr is a stand-in for ECR that computes every request's signature anew, with the SDK's own signer.
func ecr(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Errorf("X-Amz-Date: %v", err)
		}
		again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.Path, nil) // without a body: curl does not sign its length
		if err != nil {
			t.Error(err)
			return
		}
		for name := range r.Header {
			if lower := strings.ToLower(name); lower == "content-type" || lower == "x-amz-target" || lower == "x-amz-security-token" {
				again.Header.Set(name, r.Header.Get(name))
			}
		}
		hash := "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // sha256 of {}
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: session}
		if err := signer.SignHTTP(t.Context(), credentials, again, hash, "ecr", "eu-west-1", when); err != nil {
			t.Error(err)
		}
		signature := func(header string) string { _, s, _ := strings.Cut(header, "Signature="); return s }
		got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization")
		if signature(got) != signature(want) || signature(got) == "" {
			t.Logf("signed %s\nwant   %s", got, want)
			http.Error(w, `{"__type":"InvalidSignatureException"}`, http.StatusForbidden)
			return
		}
		if r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" || body.String() != "{}" {
			http.Error(w, `{"__type":"UnknownOperation"}`, http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, `{"authorizationData":[{"authorizationToken":"QVdTOnNlY3JldA==","expiresAt":1.79e9,"proxyEndpoint":"https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"}]}`)
	}))
	t.Cleanup(server.Close)
	return server
}

const testImage = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sallyport/proxy@sha256:00"

func TestLoginFetchesTheImageWithTheInstancesRole(t *testing.T) {
	m := newMachine(t)
	seen := filepath.Join(m.dir, "seen.json")
	m.program("docker", `case "$1" in image) exit 1;; pull) stat -c %a "$DOCKER_CONFIG/config.json" >`+seen+`; cat "$DOCKER_CONFIG/config.json" >>`+seen+`;; esac`)
	cmd, out := m.command(bare(login), "IMAGE="+testImage, "REGION=eu-west-1", "ECR="+ecr(t).URL, "DOCKER_CONFIG="+filepath.Join(m.dir, "login"))
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	const want = "600\n" + `{"auths":{"123456789012.dkr.ecr.eu-west-1.amazonaws.com":{"auth":"QVdTOnNlY3JldA=="}}}` + "\n"
	if string(config) != want {
		t.Errorf("docker was given %s, want %s", config, want)
	}
	if left, err := filepath.Glob(filepath.Join(m.dir, "login", "*")); err != nil || len(left) > 0 {
		t.Errorf("the login stays on the machine: %v", left)
	}
	if calls := m.calls(); !strings.Contains(calls, "docker pull --quiet "+testImage) {
		t.Errorf("got %s", calls)
	}
}

func TestNoLoginForAnImageThatIsHere(t *testing.T) {
	m := newMachine(t)
	m.metadata.Close() // not even the metadata service is needed
	m.program("docker", "exit 0")
	cmd, out := m.command(bare(login), "IMAGE="+testImage, "REGION=eu-west-1", "ECR=http://127.0.0.1:1", "DOCKER_CONFIG="+m.dir)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if calls := m.calls(); strings.Contains(calls, "pull") {
		t.Errorf("got %s", calls)
	}
}

func TestLoginFailsAloud(t *testing.T) {
	m := newMachine(t)
	m.program("docker", "exit 1")
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "AccessDeniedException", http.StatusBadRequest)
	}))
	defer refusing.Close()
	cmd, out := m.command(bare(login), "IMAGE="+testImage, "REGION=eu-west-1", "ECR="+refusing.URL, "DOCKER_CONFIG="+m.dir)
	if err := cmd.Run(); err == nil || !strings.Contains(out.String(), "400") {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out.String(), secretKey) || strings.Contains(out.String(), session) {
		t.Errorf("a secret is in the log: %s", out)
	}
}

// proxy is a stand-in for the proxy's health page.
type proxy struct {
	*httptest.Server
	mu             sync.Mutex
	ready, healthy bool
	looks          int // at whether it is alive, which begin once it was ready
}

func newProxy(t *testing.T, ready, healthy bool) *proxy {
	p := &proxy{ready: ready, healthy: healthy}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.URL.Path == "/healthz" {
			p.looks++
		}
		if r.URL.Path == "/readyz" && !p.ready || r.URL.Path == "/healthz" && !p.healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"problems":["no routes document is in force"]}`)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) become(ready, healthy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready, p.healthy = ready, healthy
}

// awaitLooks waits until the watch has looked at the proxy so many times more.
func (p *proxy) awaitLooks(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.looks
	}
	for want, begun := count()+more, time.Now(); count() < want; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 15*time.Second {
			t.Fatal("the watch does not look at the proxy")
		}
	}
}

// watching starts the watch of a machine that has been up for so many seconds.
func (m *machine) watching(p *proxy, uptime string) (wait func() string) {
	m.t.Helper()
	m.program("systemctl", "")
	path := filepath.Join(m.dir, "uptime")
	if err := os.WriteFile(path, []byte(uptime+" 1.00\n"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	cmd, out := m.command(bare(watch), "PROXY="+p.URL, "READY_SECONDS=90", "DEAD_SECONDS=4", "PAUSE_SECONDS=0.1", "UPTIME="+path)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return func() string {
		m.t.Helper()
		select {
		case err := <-ended:
			if err != nil {
				m.t.Errorf("watch: %v", err)
			}
		case <-time.After(20 * time.Second):
			m.t.Errorf("the watch does not end")
		}
		return out.String()
	}
}

func (m *machine) expectCalls(want string) {
	m.t.Helper()
	if got := m.calls(); got != want {
		m.t.Errorf("got calls\n%s\nwant\n%s", got, want)
	}
}

func TestWatchDrainsWhenTheGroupEndsTheMachine(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.become("InService")
	wait := m.watching(newProxy(t, true, true), "30")
	time.Sleep(700 * time.Millisecond)
	m.expectCalls("") // a healthy machine is left alone
	m.become("Terminated")
	out := wait()
	m.expectCalls("systemctl stop sallyport-proxy.service\nsystemctl poweroff\n")
	if !strings.Contains(out, "draining") || m.tokens != 1 {
		t.Errorf("asked for %d tokens, said %s", m.tokens, out)
	}
}

func TestWatchEndsAMachineThatDoesNotBecomeReady(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	out := m.watching(newProxy(t, false, true), "58.7")() // 90 - 30 - 58 = 2 s are left
	m.expectCalls("systemctl poweroff\n")
	if !strings.Contains(out, "not ready") || !strings.Contains(out, "no routes document is in force") {
		t.Errorf("it must say why: %s", out)
	}
}

func TestWatchEndsAMachineWhoseProxyStaysDead(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := newProxy(t, true, true)
	wait := m.watching(p, "30")
	p.awaitLooks(t, 1)
	p.become(false, false)
	p.awaitLooks(t, 2)
	p.become(false, true) // it came back: not ready, for example while it drains, but alive
	time.Sleep(1500 * time.Millisecond)
	m.expectCalls("")
	p.become(false, false)
	if out := wait(); !strings.Contains(out, "has been dead for") {
		t.Errorf("it must say why: %s", out)
	}
	m.expectCalls("systemctl poweroff\n")
}

// A watch that is started again on an old machine must not count from the machine's start.
func TestWatchOfAnOldMachineGivesTimeToo(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := newProxy(t, false, true)
	wait := m.watching(p, "864000.12")
	time.Sleep(time.Second)
	m.expectCalls("")
	p.become(true, true)
	time.Sleep(2 * time.Second)
	m.expectCalls("")
	m.become("Terminated")
	wait()
}

func TestAddressesAreGivenOnce(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace of its own")
	}
	const script = `set -e
ip link add v0 type veth peer name v1
ip address add 10.0.1.10/24 dev v0
ip link set v0 up; ip link set v1 up
ip route add default via 10.0.1.1 dev v0
bash -c "$SCRIPT"; bash -c "$SCRIPT"
ip -o -4 address show dev v0 | sed 's/.*inet \([^ ]*\).*/\1/'`
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "ADDRESSES=10.0.1.10,10.0.1.11", "SCRIPT=" + bare(addresses)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != "10.0.1.10/24\n10.0.1.11/32" {
		t.Errorf("the interface has\n%s", got)
	}
}
