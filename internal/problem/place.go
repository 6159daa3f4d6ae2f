package problem

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Child returns the place of a key within place: "nat.flavor". Keys that are no plain words are quoted, so that a hostile key
// cannot forge a message.
func Child(place, key string) string {
	if !plain(key) {
		return place + "[" + strconv.Quote(cut(key)) + "]"
	}
	if place == "" || strings.HasSuffix(place, ":") { // a namespace takes no dot
		return place + key
	}
	return place + "." + key
}

// Index returns the place of an item within place: "hosts[0]".
func Index(place string, i int) string { return fmt.Sprintf("%s[%d]", place, i) }

func plain(key string) bool {
	if key == "" || len(key) > maxValue {
		return false
	}
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

// UnknownKey is the rule that a key breaks which nobody knows.
func UnknownKey(key string) string { return fmt.Sprintf("unknown key %q", cut(key)) }

// Suggestion returns the remedy for a word that is none of the known ones: the nearest if one is near, else all of them.
func Suggestion(word string, known []string) string {
	if nearest := Nearest(word, known); nearest != "" {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	return "use one of " + strings.Join(sorted, ", ")
}

// Nearest returns the known word that was probably meant, or "" if none is near: upper and lower case do not count, and up to
// one slip in three letters is forgiven.
func Nearest(word string, known []string) string {
	const longest = 64 // words beyond it are no slip, and comparing them costs time
	if len(word) > longest {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, candidate := range known {
		if len(candidate) > longest {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
