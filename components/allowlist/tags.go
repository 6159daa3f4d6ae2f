package allowlist

import (
	"strings"
	"time"
)

// What is written on every address when it is allocated, and never again. It tells people and `sallyport allowlist verify` whose an
// IP is, even where the stack's state was lost.
const (
	TagStack    = "sallyport:stack"
	TagKind     = "sallyport:kind"
	TagSlot     = "sallyport:slot" // name of the address
	TagPartners = "sallyport:partners"
	TagSince    = "sallyport:since" // day of allocation
)

// maxTag and maxLabel bound values: 256 characters of an AWS tag ("Tag restrictions", Amazon EC2 user guide, 2026-09-26), 63 of a
// GCP label ("Requirements for labels", Google Cloud documentation, 2026-09-26).
const (
	maxTag   = 256
	maxLabel = 63
)

// Tags are the tags of an address on AWS.
func Tags(stack string, l Life) map[string]string {
	return map[string]string{
		TagStack: cutTo(stack, maxTag), TagKind: string(l.Kind), TagSlot: l.Name,
		TagPartners: cutTo(strings.Join(l.Partners, " "), maxTag), TagSince: l.Dates.Listed.Format(time.DateOnly),
	}
}

// Labels are the labels of an address on GCP, whose alphabet is smaller: lower case letters, digits, "-" and "_".
func Labels(stack string, l Life) map[string]string {
	labels := map[string]string{}
	for key, value := range Tags(strings.ToLower(stack), l) {
		value = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return '_'
		}, value)
		labels[LabelKey(key)] = cutTo(value, maxLabel)
	}
	return labels
}

// LabelKey is the GCP label that stands for an AWS tag.
func LabelKey(tag string) string { return strings.ReplaceAll(tag, ":", "-") }

func cutTo(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}
