package minisign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// SecretKey signs. It never prints itself: its String is its number.
type SecretKey struct {
	id  [8]byte
	key ed25519.PrivateKey
}

// Layout of a secret key: three algorithms of 2 bytes, salt, two limits of 8 bytes, then number, key and checksum, encrypted.
const (
	saltSize   = 32
	headerSize = 2 + 2 + 2 + saltSize + 8 + 8
	bodySize   = 8 + ed25519.PrivateKeySize + blake2b.Size256
	kdfScrypt  = "Sc"
	kdfNone    = "\x00\x00"
	checksum   = "B2"
)

// Limits of the key derivation that new keys get: those that libsodium calls moderate, 256 MiB and about a second. Files may ask
// for up to 1 GiB, which is what minisign itself writes.
const (
	opsLimit    = 1 << 23
	memLimit    = 1 << 28
	maxMemLimit = 1 << 30
	maxOpsLimit = 1 << 26
)

// ErrPassword says that a secret key could not be opened.
var ErrPassword = errors.New("secret key: password: is wrong")

// Generate makes a key.
func Generate() (SecretKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SecretKey{}, err
	}
	s := SecretKey{key: key}
	_, err = rand.Read(s.id[:])
	return s, err
}

// Public is the key that checks what this one signs.
func (s SecretKey) Public() PublicKey {
	return PublicKey{ID: s.id, key: ed25519.PublicKey(s.key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])}
}

// String is the key's number, so that a secret never gets into a log.
func (s SecretKey) String() string { return "secret key " + s.Public().name() }

// GoString is String.
func (s SecretKey) GoString() string { return s.String() }

// Sign returns the signature file of a file. The trusted comment is signed too; it has one line.
func (s SecretKey) Sign(file []byte, trustedComment string) ([]byte, error) {
	if strings.ContainsAny(trustedComment, "\r\n") || len(trustedComment) > maxLine/2 {
		return nil, fmt.Errorf("trusted comment: must be one line of at most %d characters, got %.60q", maxLine/2, trustedComment)
	}
	hash := blake2b.Sum512(file)
	signature := ed25519.Sign(s.key, hash[:])
	global := ed25519.Sign(s.key, append(append([]byte{}, signature...), trustedComment...))
	line := append(append([]byte(hashed), s.id[:]...), signature...)
	return fmt.Appendf(nil, "%ssignature from sallyport, key %s\n%s\n%s%s\n%s\n", untrustedPrefix, s.Public().name(),
		base64.StdEncoding.EncodeToString(line), trustedPrefix, trustedComment, base64.StdEncoding.EncodeToString(global)), nil
}

// File returns the secret key as minisign writes it, encrypted with a password. An empty password leaves it open, as minisign -W
// does: the file's own protection is then all there is.
func (s SecretKey) File(password []byte) ([]byte, error) {
	header := []byte(legacy + kdfNone + checksum)
	var salt [saltSize]byte
	var ops, mem uint64
	if len(password) > 0 {
		copy(header[2:], kdfScrypt)
		ops, mem = opsLimit, memLimit
		if _, err := rand.Read(salt[:]); err != nil {
			return nil, err
		}
	}
	header = append(header, salt[:]...)
	header = binary.LittleEndian.AppendUint64(header, ops)
	header = binary.LittleEndian.AppendUint64(header, mem)
	body := append(append([]byte{}, s.id[:]...), s.key...)
	sum := s.checksum()
	body = append(body, sum[:]...)
	if len(password) > 0 {
		if err := crypt(body, password, salt[:], ops, mem); err != nil {
			return nil, err
		}
	}
	comment := "minisign encrypted secret key"
	if len(password) == 0 {
		comment = "minisign secret key without a password"
	}
	return fmt.Appendf(nil, "%s%s\n%s\n", untrustedPrefix, comment, base64.StdEncoding.EncodeToString(append(header, body...))), nil
}

func (s SecretKey) checksum() [blake2b.Size256]byte {
	return blake2b.Sum256(append(append([]byte(legacy), s.id[:]...), s.key...))
}

// ParseSecretKey opens a secret key of minisign. The error is [ErrPassword] if the password does not open it. No error shows any of
// the file.
func ParseSecretKey(file, password []byte) (SecretKey, error) {
	lines := strings.Split(strings.TrimSpace(string(file)), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[len(lines)-1]))
	if err != nil || len(lines) != 2 || len(raw) != headerSize+bodySize || string(raw[:2]) != legacy || string(raw[4:6]) != checksum {
		return SecretKey{}, errors.New("secret key: must be a file that minisign or `sallyport allowlist keygen` wrote")
	}
	salt, body := raw[6:6+saltSize], raw[headerSize:]
	ops, mem := binary.LittleEndian.Uint64(raw[38:]), binary.LittleEndian.Uint64(raw[46:])
	switch string(raw[2:4]) {
	case kdfNone:
	case kdfScrypt:
		if len(password) == 0 {
			return SecretKey{}, fmt.Errorf("%w: the key has one and none was given", ErrPassword)
		}
		if err := crypt(body, password, salt, ops, mem); err != nil {
			return SecretKey{}, err
		}
	default:
		return SecretKey{}, fmt.Errorf("secret key: key derivation: must be scrypt or none, got %q", raw[2:4])
	}
	s := SecretKey{id: [8]byte(body[:8]), key: body[8 : 8+ed25519.PrivateKeySize]}
	sum := s.checksum()
	if string(raw[2:4]) == kdfNone { // minisign leaves the checksum of such a key empty: the halves of the key have to fit
		if !s.key.Equal(ed25519.NewKeyFromSeed(s.key.Seed())) {
			return SecretKey{}, errors.New("secret key: is damaged: its halves do not belong together")
		}
	} else if subtle.ConstantTimeCompare(sum[:], body[8+ed25519.PrivateKeySize:]) != 1 {
		return SecretKey{}, ErrPassword
	}
	return s, nil
}

// crypt encrypts or decrypts in place.
func crypt(body, password, salt []byte, ops, mem uint64) error {
	if mem > maxMemLimit || ops > maxOpsLimit {
		return fmt.Errorf("secret key: key derivation: must not need more than %d bytes of memory, got %d", maxMemLimit, mem)
	}
	n, p := parameters(ops, mem)
	stream, err := scrypt.Key(password, salt, n, 8, p, len(body))
	if err != nil {
		return fmt.Errorf("secret key: key derivation: %w", err)
	}
	subtle.XORBytes(body, body, stream)
	return nil
}

// parameters are scrypt's N and p as libsodium's crypto_pwhash_scryptsalsa208sha256 picks them; r is 8.
func parameters(ops, mem uint64) (n, p int) {
	const r = 8
	ops = max(ops, 32768)
	maxN := mem / (r * 128)
	if ops < mem/32 {
		maxN = ops / (r * 4)
	}
	log := 1
	for log < 63 && uint64(1)<<log <= maxN/2 {
		log++
	}
	if ops < mem/32 {
		return 1 << log, 1
	}
	return 1 << log, max(1, int(min(ops/4>>log, 0x3fffffff))/r)
}
