// Package labid names a lab and everything in it: the lab's id, its network namespaces, its state directory and its
// address plan (plan.go).
//
// A lab is the embodiment of one stack of cloud "local" on this machine. Two labs never share a namespace, a link or a
// file, therefore every lab uses the same addresses. The package is pure: it computes names and touches nothing.
package labid

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// MaxLength is the greatest length of a lab id in bytes. It leaves room for host names in namespace names, which in turn
// must stay readable in `ip netns`.
const MaxLength = 20

// Root is the parent of all state directories, unless RootEnv overrides it.
const Root = "/run/sallyport"

// RootEnv names the environment variable that overrides Root. Tests and a second user on the machine set it.
const RootEnv = "SALLYPORT_LAB_ROOT"

// hashDigits is the number of hexadecimal digits that tell apart two checkouts with the same stack name.
const hashDigits = 6

// For returns the id of the lab that belongs to stack in the project at projectRoot: "<stack>-<6 hex digits>", at most
// MaxLength bytes of a-z, 0-9 and hyphen. The digits come from the absolute path and the full stack name, so the same
// project always gets the same lab and two checkouts never share one.
func For(projectRoot, stack string) string {
	root, err := filepath.Abs(projectRoot)
	if err != nil {
		root = filepath.Clean(projectRoot) // no working directory: the path as given still identifies the project
	}
	sum := sha256.Sum256([]byte(root + "\x00" + stack))
	name := sanitise(stack)
	if limit := MaxLength - hashDigits - 1; len(name) > limit {
		name = strings.Trim(name[:limit], "-")
	}
	return name + "-" + hex.EncodeToString(sum[:])[:hashDigits]
}

// sanitise maps a stack name to a DNS label; "lab" if nothing is left.
func sanitise(stack string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(stack) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	if name := strings.Trim(b.String(), "-"); name != "" {
		return name
	}
	return "lab"
}

// Check returns an error unless lab is a usable id: 1 to MaxLength bytes of a-z, 0-9 and hyphen, no hyphen at either end.
func Check(lab string) error {
	if len(lab) < 1 || len(lab) > MaxLength {
		return fmt.Errorf("lab: needs 1 to %d characters, got %d (%.40q)", MaxLength, len(lab), lab)
	}
	return checkLabel("lab", lab)
}

// CheckHost returns an error unless host is usable as the name of a host in a lab: 1 to 40 bytes of a-z, 0-9 and hyphen,
// no hyphen at either end.
func CheckHost(host string) error {
	if len(host) < 1 || len(host) > 40 {
		return fmt.Errorf("host: needs 1 to 40 characters, got %d (%.60q)", len(host), host)
	}
	return checkLabel("host", host)
}

func checkLabel(what, label string) error {
	for _, r := range label {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return fmt.Errorf("%s: only a-z, 0-9 and hyphen are allowed, got %q", what, label)
		}
	}
	if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
		return fmt.Errorf("%s: must not begin or end with a hyphen, got %q", what, label)
	}
	return nil
}

// Netns returns the name of the network namespace of a host, as `ip netns` shows it.
func Netns(lab, host string) string { return lab + "-" + host }

// RootDir returns the parent of all state directories: Root, or the value of RootEnv.
func RootDir() string {
	if dir := os.Getenv(RootEnv); dir != "" {
		return dir
	}
	return Root
}

// StateDir returns the directory that holds everything of a lab that is a file.
func StateDir(lab string) string { return filepath.Join(RootDir(), lab) }
