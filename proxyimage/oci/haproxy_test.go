package oci

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// namedFile finds the files that a configuration makes HAProxy read.
var namedFile = regexp.MustCompile(`/[A-Za-z0-9._/+-]+\.(map|pem|crt|key)\b`)

// TestHAProxyTakesEveryGoldenConfiguration runs `haproxy -c` of the image, inside its root and as its user. HAProxy opens no port
// for a check.
func TestHAProxyTakesEveryGoldenConfiguration(t *testing.T) {
	goldens, err := filepath.Glob("../haproxycfg/testdata/*.cfg.golden")
	if err != nil || len(goldens) == 0 {
		t.Fatalf("golden configurations: %v, %v", goldens, err)
	}
	root := copyOfRoot(t)
	for _, golden := range goldens {
		t.Run(strings.TrimSuffix(filepath.Base(golden), ".cfg.golden"), func(t *testing.T) {
			text, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if complaint := checkConfiguration(t, root, text); complaint != "" {
				t.Error(complaint)
			}
		})
	}
	t.Run("and refuses a bad one", func(t *testing.T) {
		if complaint := checkConfiguration(t, root, []byte("defaults\n    mode nonsense\n")); !strings.Contains(complaint, "nonsense") {
			t.Errorf("complaint = %q", complaint)
		}
	})
}

// copyOfRoot returns a root directory of the image that may be written to.
func copyOfRoot(t *testing.T) string {
	t.Helper()
	image := build(t, bothPlatforms(t))
	root := filepath.Join(t.TempDir(), "root")
	if err := os.CopyFS(root, os.DirFS(image.Rootfs)); err != nil {
		t.Fatal(err)
	}
	return root
}

// checkConfiguration returns what HAProxy says about a configuration; nothing if it is without error and without warning.
func checkConfiguration(t *testing.T, root string, configuration []byte) string {
	t.Helper()
	for _, name := range namedFile.FindAllString(string(configuration), -1) {
		path := filepath.Join(root, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		var content []byte
		if !strings.HasSuffix(name, ".map") {
			content = certificate(t)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "haproxy.cfg"), configuration, 0o644); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := &exec.Cmd{
		Path: "/" + haproxyPath, Args: []string{"haproxy", "-c", "-f", "/haproxy.cfg"}, Dir: "/", Env: []string{},
		Stderr: &said, // errors and warnings; that all is well goes to the standard output
		SysProcAttr: &syscall.SysProcAttr{
			Chroot: root, Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: User, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: User, HostID: os.Getegid(), Size: 1}},
		},
	}
	if err := cmd.Run(); err != nil {
		return err.Error() + ": " + said.String()
	}
	return said.String()
}

// certificate returns a certificate of its own authority with its key, as HAProxy wants both in one file.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}
