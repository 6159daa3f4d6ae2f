package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, "t-1")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, a *Authority, dir string, hosts ...string) []byte {
	t.Helper()
	file, _, err := a.Leaf(dir, "partner", hosts)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestEverythingIsStableAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	second := open(t, dir)
	if !bytes.Equal(first.PEM(), second.PEM()) {
		t.Error("the authority changed")
	}
	if !bytes.Equal(leaf(t, first, dir, "a.example.com", "203.0.113.1"), leaf(t, second, dir, "a.example.com", "203.0.113.1")) {
		t.Error("the certificate changed")
	}
}

func TestCertificatesAreRenewedWhenTheyMust(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	one := leaf(t, a, dir, "a.example.com")
	two := leaf(t, a, dir, "a.example.com", "*.b.example.com")
	if bytes.Equal(one, two) {
		t.Error("another host and the same certificate")
	}
	for name, damage := range map[string]func() error{
		"a cut file":  func() error { return os.WriteFile(filepath.Join(dir, "partner.pem"), two[:40], 0o644) },
		"no key":      func() error { return os.Remove(filepath.Join(dir, "partner.key")) },
		"another key": func() error { return os.Rename(filepath.Join(dir, "other.key"), filepath.Join(dir, "partner.key")) },
	} {
		if _, _, err := a.Leaf(dir, "other", []string{"b.example.com"}); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		leaf(t, a, dir, "a.example.com", "*.b.example.com")
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "partner.pem"), filepath.Join(dir, "partner.key")); err != nil {
			t.Errorf("%s was not repaired: %v", name, err)
		}
	}
	stale := leaf(t, a, dir, "a.example.com")
	if err := os.Remove(filepath.Join(dir, CertificateFile)); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(stale, leaf(t, open(t, dir), dir, "a.example.com")) {
		t.Error("a certificate of the old authority is in use")
	}
}

func TestClientsTrustTheAuthority(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	certificate, key, err := a.Leaf(dir, "partner", []string{"api.example.com", "*.example.net", "203.0.113.1"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.PEM()) {
		t.Fatal("the authority's PEM is not a certificate")
	}
	for host, want := range map[string]bool{"api.example.com": true, "x.example.net": true, "203.0.113.1": true, "example.net": false, "a.b.example.net": false} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
	if _, _, err := a.Leaf(dir, "empty", nil); err == nil {
		t.Error("a certificate without host was made")
	}
}
