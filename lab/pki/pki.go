// Package pki is a lab's certificate authority: it signs the partners' certificates, and pods trust it.
//
// Keys and certificates are PEM files in the lab's state directory and are used again as long as they are good, so that
// nothing changes for clients when a process or the whole lab is restarted.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of an authority in its directory.
const (
	CertificateFile = "ca.pem"
	keyFile         = "ca.key"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced at the next opportunity.
	renewBefore = 30 * 24 * time.Hour
	// backdate tolerates clocks that differ.
	backdate = time.Hour
)

// Authority signs certificates. Make it with Open.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte
}

// Open returns the authority whose files are in dir; if they are missing, unreadable or about to expire, a new one is
// made. lab appears in its name.
func Open(dir, lab string) (*Authority, error) {
	certificate, key, err := load(filepath.Join(dir, CertificateFile), filepath.Join(dir, keyFile))
	if err == nil && certificate.IsCA && time.Now().Add(renewBefore).Before(certificate.NotAfter) {
		return &Authority{certificate, key, encodeCertificate(certificate.Raw)}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	template, err := newTemplate("Sallyport lab "+lab, authorityLife)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	certificate, signer, err := create(template, nil, filepath.Join(dir, CertificateFile), filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &Authority{certificate, signer, encodeCertificate(certificate.Raw)}, nil
}

// PEM returns the authority's certificate, as clients need it to trust the lab.
func (a *Authority) PEM() []byte { return a.pem }

// Leaf returns the paths of a certificate and key in dir, named after name, for the given hosts: DNS names, "*." wildcards or IP
// addresses. The files are reused as long as they fit: same hosts, signed by this authority, more than 30 days left.
func (a *Authority) Leaf(dir, name string, hosts []string) (certificateFile, key string, err error) {
	if len(hosts) == 0 {
		return "", "", fmt.Errorf("certificate %s: hosts: needs at least 1, got 0", name)
	}
	certificateFile, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	template, err := newTemplate(hosts[0], leafLife)
	if err != nil {
		return "", "", fmt.Errorf("certificate %s: %w", name, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if address, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if a.good(certificateFile, key, template) {
		return certificateFile, key, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("certificate %s: %w", name, err)
	}
	if _, _, err := create(template, a, certificateFile, key); err != nil {
		return "", "", fmt.Errorf("certificate %s: %w", name, err)
	}
	return certificateFile, key, nil
}

// good reports whether the files hold a certificate like the wanted one.
func (a *Authority) good(certificateFile, keyFile string, want *x509.Certificate) bool {
	have, _, err := load(certificateFile, keyFile)
	if err != nil || have.CheckSignatureFrom(a.certificate) != nil || time.Now().Add(renewBefore).After(have.NotAfter) {
		return false
	}
	sameAddress := func(i int) bool { return have.IPAddresses[i].Equal(want.IPAddresses[i]) }
	if len(have.IPAddresses) != len(want.IPAddresses) || !slices.Equal(have.DNSNames, want.DNSNames) {
		return false
	}
	for i := range have.IPAddresses {
		if !sameAddress(i) {
			return false
		}
	}
	return true
}

func newTemplate(commonName string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	if len(commonName) > 64 {
		commonName = commonName[:64] // the limit of X.520; clients look at the alternative names
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName, Organization: []string{"Sallyport lab"}},
		NotBefore:    time.Now().Add(-backdate),
		NotAfter:     time.Now().Add(life),
	}, nil
}

// create makes a key and a certificate and writes both files; without authority the certificate signs itself. The key is written
// first: a crash in between leaves a pair that does not match, which load notices.
func create(template *x509.Certificate, authority *Authority, certificateFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.certificate, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if err := replaceFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return nil, nil, err
	}
	if err := replaceFile(certificateFile, encodeCertificate(der), 0o644); err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// load reads a pair and checks that it belongs together.
func load(certificateFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("the key cannot sign")
	}
	return pair.Leaf, signer, nil
}

// replaceFile writes a file so that a reader sees the old or the new content, never a part.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
