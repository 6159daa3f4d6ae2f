package allowlist

import (
	"fmt"
	"os"
	"time"

	"github.com/sallyport/sallyport/internal/minisign"
)

// What a signer reads. Keys and passwords are files, so that they get neither into a state nor into a log.
const (
	SigningKeyEnv      = "SALLYPORT_SIGNING_KEY"           // names the file of the secret key
	SigningPasswordEnv = "SALLYPORT_SIGNING_PASSWORD_FILE" // names the file of its password, empty for a key without one
)

// SignatureComment is what a signature says besides: which document of which stack it is, and since when it is valid. It depends on the
// document alone, so that the same document always has the same signature.
func SignatureComment(d Document, file string, date time.Time) string {
	return fmt.Sprintf("timestamp:%d\tfile:%s\tstack:%s\tserial:%d\thashed", date.Unix(), file, d.Stack, d.Serial)
}

// Signer signs documents with one key.
type Signer struct{ key minisign.SecretKey }

// ReadSigner opens the secret key in the file that [SigningKeyEnv] names, and checks that it is the one whose public key partners
// have. No error shows any of it.
func ReadSigner(publicKey string) (Signer, error) {
	public, err := minisign.ParsePublicKey(publicKey)
	if err != nil {
		return Signer{}, err
	}
	path := os.Getenv(SigningKeyEnv)
	if path == "" {
		return Signer{}, fmt.Errorf("%s: must name the file of the secret key of %s", SigningKeyEnv, public)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return Signer{}, fmt.Errorf("%s: %w", SigningKeyEnv, err)
	}
	password, err := ReadPassword()
	if err != nil {
		return Signer{}, err
	}
	key, err := minisign.ParseSecretKey(file, password)
	if err != nil {
		return Signer{}, fmt.Errorf("%s: %s: %w", SigningKeyEnv, path, err)
	}
	if key.Public().String() != public.String() {
		return Signer{}, fmt.Errorf("%s: must be the secret key of %s, got that of %s", SigningKeyEnv, public, key.Public())
	}
	return Signer{key: key}, nil
}

// ReadPassword reads the password of the secret key; nil if there is none.
func ReadPassword() ([]byte, error) {
	path := os.Getenv(SigningPasswordEnv)
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SigningPasswordEnv, err)
	}
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	return text, nil
}

// Sign returns the signature of a document as JSON, for a file of a name.
func (s Signer) Sign(d Document, file string) (signature string, err error) {
	text, err := d.Render(FormatJSON)
	if err != nil {
		return "", err
	}
	signed, err := s.key.Sign([]byte(text), SignatureComment(d, file, d.ValidFrom))
	return string(signed), err
}
