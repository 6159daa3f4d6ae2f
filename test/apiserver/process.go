package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The programs, below the folder that BinVariable names.
const (
	etcdProgram   = "etcd"
	serverProgram = "kube-apiserver"
	// BinVariable is the environment variable with the folder of both programs.
	BinVariable = "SALLYPORT_SERVERS"
)

// Patience bounds the start of a server. On a busy machine with two cores it takes 20 seconds.
const Patience = 4 * time.Minute

// ServiceNetwork is where Services get their addresses.
const ServiceNetwork = "172.20.0.0/16"

// process is a server that runs until it is stopped.
type process struct {
	command *exec.Cmd
	done    chan struct{} // closed when it has ended
	log     string        // file with what it printed
}

// start runs a program with its output in a file. It ends with this process, however that ends.
func start(log, program string, arguments ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	p := &process{command: exec.Command(program, arguments...), done: make(chan struct{}), log: log}
	p.command.Stdout, p.command.Stderr = file, file
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends it, and kills it if it takes long.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.command.Process.Kill()
		<-p.done
	}
}

// until waits for a condition, at most Patience, and no longer than the process lives.
func (p *process) until(what string, ready func() error) error {
	deadline := time.Now().Add(Patience)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended:\n%s", what, p.tail())
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: %w\n%s", what, Patience, err, p.tail())
		}
	}
}

// tail is the end of what it printed.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// startEtcd runs an etcd on a Unix socket and returns its URL.
func startEtcd(bin, dir string) (*process, string, error) {
	socket := filepath.Join(dir, "etcd.sock")
	p, err := start(filepath.Join(dir, "etcd.log"), filepath.Join(bin, etcdProgram),
		"--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", "unix://"+socket,
		// Required, and never connected to: a socket's URL is refused here.
		"--advertise-client-urls", "http://127.0.0.1:0", "--listen-peer-urls", "http://127.0.0.1:0",
		"--unsafe-no-fsync", "--log-level", "warn")
	if err != nil {
		return nil, "", err
	}
	err = p.until("etcd", func() error {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err != nil {
		p.stop()
		return nil, "", err
	}
	return p, "unix://" + socket, nil
}

// Cluster is an API server with its etcd.
type Cluster struct {
	url, token   string
	client       *http.Client
	dir          string
	etcd, server *process
	kinds        map[string]kind // by apiVersion and kind, filled as they are asked for
}

// Start starts both servers in a folder of their own. Flags are further ones of the API server. The caller stops them with Stop.
func Start(bin string, flags ...string) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "sallyport-apiserver-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, kinds: map[string]kind{}}
	if err := c.start(bin, flags); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(bin string, flags []string) error {
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	c.token = hex.EncodeToString(secret)
	key, err := serviceAccountKey()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"sa.key": key, "tokens.csv": c.token + ",test,test,system:masters\n"} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	etcdURL := ""
	if c.etcd, etcdURL, err = startEtcd(bin, c.dir); err != nil {
		return err
	}
	// Somebody may take the port between the search for a free one and the start.
	for range 3 {
		if err = c.startServer(bin, etcdURL, flags); err == nil {
			return nil
		}
	}
	return err
}

// startServer runs the API server on a free port of loopback and waits until it is ready.
func (c *Cluster) startServer(bin, etcdURL string, flags []string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(c.dir, name) }
	arguments := append([]string{
		"--etcd-servers=" + etcdURL, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--cert-dir=" + in("certificates"), "--endpoint-reconciler-type=none", "--token-auth-file=" + in("tokens.csv"),
		"--authorization-mode=RBAC", "--allow-privileged=true", "--service-cluster-ip-range=" + ServiceNetwork,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + in("sa.key"),
		"--service-account-signing-key-file=" + in("sa.key"),
	}, flags...)
	if c.server, err = start(in("kube-apiserver.log"), filepath.Join(bin, serverProgram), arguments...); err != nil {
		return err
	}
	c.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	err = c.server.until("kube-apiserver", func() error {
		if c.client == nil {
			if c.client, err = trusting(in("certificates/apiserver.crt")); err != nil {
				return err
			}
		}
		_, err := c.Raw(context.Background(), http.MethodGet, "/readyz", "", nil)
		return err
	})
	if err != nil {
		c.server.stop()
		c.server, c.client = nil, nil
	}
	return err
}

// Stop ends both servers and removes all they kept.
func (c *Cluster) Stop() {
	for _, p := range []*process{c.server, c.etcd} {
		if p != nil {
			p.stop()
		}
	}
	_ = os.RemoveAll(c.dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// serviceAccountKey makes the key that the API server signs tokens with.
func serviceAccountKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), nil
}

// trusting returns a client that trusts the certificate in a file, which the API server makes when it starts, and nothing else.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate yet")
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}, nil
}
