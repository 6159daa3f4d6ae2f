package doctor

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// Text is the report for people. Unless all is set, figures of proxies that are ok are left out: there may be hundreds.
func (r Report) Text(all bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Stack %s on %s, %s to %s\n\n", r.Stack, r.Cloud, stamp(r.From), stamp(r.To))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tFIGURE\tHIGHEST\tAT\tPLANNED\tCEILING\tSHARE\tVERDICT") //nolint:errcheck // into memory
	left, highest := 0, 0.0
	for _, row := range r.Rows {
		if row.hidden(all) {
			left, highest = left+1, math.Max(highest, row.Share)
			continue
		}
		fmt.Fprintln(w, strings.Join(row.cells(), "\t")) //nolint:errcheck // into memory
	}
	if left > 0 {
		fmt.Fprintf(w, "slots\t%d other figures\t\t\t\t\tup to %s\t%s\n", left, percent(highest), OK) //nolint:errcheck // into memory
	}
	w.Flush() //nolint:errcheck // into memory
	notes := false
	for _, row := range r.Rows {
		if row.Note == "" || row.hidden(all) {
			continue
		}
		if !notes {
			b.WriteString("\nNotes\n")
			notes = true
		}
		fmt.Fprintf(&b, "  %s: %s: %s\n", row.Subject, row.Figure, row.Note)
	}
	if len(r.Problems) > 0 {
		b.WriteString("\nNot read\n")
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	if len(r.Advice) > 0 {
		b.WriteString("\nWhat to change\n")
	}
	for i, a := range r.Advice {
		fmt.Fprintf(&b, "  %d. %s.\n", i+1, a.Why)
		for _, c := range a.Changes {
			fmt.Fprintf(&b, "       %s: %s   (now %s)\n", c.Key, setting(c.To), setting(c.From))
		}
		if a.Effect != "" {
			fmt.Fprintf(&b, "     Then: %s.\n", a.Effect)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.summary())
	return b.String()
}

func (r Report) summary() string {
	if r.Findings == 0 {
		return "Nothing found: everything is within the plan."
	}
	counts := map[Verdict]int{}
	for _, row := range r.Rows {
		counts[row.Verdict]++
	}
	var parts []string
	for _, v := range []Verdict{Over, CloseTo, AbovePlan, NoData} {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	if n := len(r.Problems); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not read", n))
	}
	return "Found: " + strings.Join(parts, ", ") + "."
}

// hidden reports whether a row is left out of the text.
func (r Row) hidden(all bool) bool {
	return !all && r.Verdict == OK && strings.HasPrefix(r.Subject, "slot ")
}

// cells are the columns of a row.
func (r Row) cells() []string {
	cells := []string{r.Subject, r.Figure, "-", "", "", "", "", string(r.Verdict)}
	if r.Measured != nil {
		cells[2] = amount(*r.Measured, r.Unit)
	}
	if r.At != nil {
		cells[3] = r.At.Format("01-02 15:04")
	}
	if r.Planned > 0 {
		cells[4] = amount(r.Planned, r.Unit)
	}
	if r.Ceiling > 0 {
		cells[5] = amount(r.Ceiling, r.Unit)
		if r.Measured != nil {
			cells[6] = percent(r.Share)
		}
	}
	return cells
}

// setting is a value as the stack file has it; nil is a key to take out.
func setting(v any) string {
	switch v := v.(type) {
	case nil:
		return "(leave it out)"
	case float64:
		return trim(fmt.Sprintf("%.4f", v))
	default:
		return fmt.Sprint(v)
	}
}

// amount is a number as people read it: bytes with their prefix, large numbers in groups of three.
func amount(v float64, unit string) string {
	if unit == "B/s" {
		for _, p := range []struct {
			size   float64
			prefix string
		}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
			if v >= p.size {
				return trim(fmt.Sprintf("%.1f", v/p.size)) + " " + p.prefix + unit
			}
		}
	}
	if v < 100 && v != math.Trunc(v) {
		return trim(fmt.Sprintf("%.1f", v)) + unit
	}
	return thousands(int(math.Round(v))) + unit
}

func trim(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// thousands writes 64,512.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(share float64) string { return trim(fmt.Sprintf("%.1f", share*100)) + "%" }

func ratio(f float64) string { return trim(fmt.Sprintf("%.1f", f)) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
