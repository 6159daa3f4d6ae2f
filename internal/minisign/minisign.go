// Package minisign signs files and checks signatures in the format of minisign (https://jedisct1.github.io/minisign), so that
// whoever gets a file can check it with a tool of their own, offline.
//
// A signature covers the BLAKE2b hash of the file (algorithm ED) and, once more, the trusted comment beside it. Signatures of the
// legacy algorithm (Ed, over the file itself) are checked too. Keys are Ed25519.
package minisign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// The algorithms as they are written.
const (
	legacy = "Ed"
	hashed = "ED"
)

const (
	untrustedPrefix = "untrusted comment: "
	trustedPrefix   = "trusted comment: "
	maxLine         = 4096
)

// ErrNotValid says that a signature is well-formed and is not that of this file by this key.
var ErrNotValid = errors.New("signature: is not valid for this file")

// PublicKey checks signatures.
type PublicKey struct {
	ID  [8]byte
	key ed25519.PublicKey
}

// ParsePublicKey reads a public key: the line that starts with RW, or a whole file with its comment.
func ParsePublicKey(text string) (PublicKey, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[len(lines)-1]))
	if err != nil || len(lines) > 2 || len(raw) != 42 || string(raw[:2]) != legacy {
		return PublicKey{}, fmt.Errorf("public key: must be that of minisign, one line of 56 characters that starts with RW, got %.60q", text)
	}
	return PublicKey{ID: [8]byte(raw[2:10]), key: raw[10:]}, nil
}

// String returns the line that starts with RW.
func (k PublicKey) String() string {
	return base64.StdEncoding.EncodeToString(append(append([]byte(legacy), k.ID[:]...), k.key...))
}

// File returns the public key as minisign writes it.
func (k PublicKey) File() string {
	return fmt.Sprintf("%sminisign public key %s\n%s\n", untrustedPrefix, k.name(), k)
}

// name is the key's number as minisign prints it.
func (k PublicKey) name() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(k.ID[:])) }

// Verify checks the signature of a file and returns its trusted comment. The error is [ErrNotValid] if the signature is of
// another file or by another key, and says so of which key.
func (k PublicKey) Verify(file, signature []byte) (comment string, err error) {
	s, err := parseSignature(signature)
	if err != nil {
		return "", err
	}
	if s.id != k.ID {
		return "", fmt.Errorf("%w: made with key %016X, not with key %s", ErrNotValid, binary.LittleEndian.Uint64(s.id[:]), k.name())
	}
	signed := file
	if s.algorithm == hashed {
		hash := blake2b.Sum512(file)
		signed = hash[:]
	}
	if !ed25519.Verify(k.key, signed, s.signature) {
		return "", ErrNotValid
	}
	if !ed25519.Verify(k.key, append(bytes.Clone(s.signature), s.comment...), s.global) {
		return "", fmt.Errorf("%w: the trusted comment was changed", ErrNotValid)
	}
	return s.comment, nil
}

// parsedSignature is a signature file taken apart.
type parsedSignature struct {
	algorithm         string
	id                [8]byte
	signature, global []byte
	comment           string
}

func parseSignature(text []byte) (parsedSignature, error) {
	wrong := func(what string) (parsedSignature, error) {
		return parsedSignature{}, fmt.Errorf("signature: must be a file of minisign, got %s", what)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 4 || len(text) > 4*maxLine {
		return wrong(fmt.Sprintf("%d lines instead of 4", len(lines)))
	}
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil || len(raw) != 74 || (string(raw[:2]) != hashed && string(raw[:2]) != legacy) {
		return wrong("a second line that is no signature")
	}
	comment, found := strings.CutPrefix(lines[2], trustedPrefix)
	if !found || !strings.HasPrefix(lines[0], untrustedPrefix) {
		return wrong("lines without their comments")
	}
	global, err := base64.StdEncoding.DecodeString(lines[3])
	if err != nil || len(global) != ed25519.SignatureSize {
		return wrong("a last line that is no signature")
	}
	return parsedSignature{algorithm: string(raw[:2]), id: [8]byte(raw[2:10]), signature: raw[10:], global: global, comment: comment}, nil
}
