// Package gcpname makes the names of Google Cloud resources: 1 to 63 of a-z, 0-9 and -, starting with a letter and not ending
// with a hyphen (RFC 1035). A name here depends on its parts only and never changes, because a renamed resource is a replaced
// one.
package gcpname

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Max is the longest name that Compute Engine takes.
const Max = 63

// Of joins parts with hyphens, the stack's name first. What a name may not contain becomes a hyphen, and then, as with a name
// that is too long, a hash of the parts keeps it apart from others.
func Of(parts ...string) string { return Short(Max, parts...) }

// Short is Of for resources that take fewer characters, at least 16.
func Short(most int, parts ...string) string {
	whole := strings.Join(parts, "-")
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(whole)), "-")
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		name = "s-" + name
	}
	if name == whole && len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	tail := "-" + hex.EncodeToString(sum[:])[:8]
	return strings.TrimRight(name[:min(len(name), most-len(tail))], "-") + tail
}
