package poddns

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// Lookup is a name that pods look up, and how often the whole cluster does.
type Lookup struct {
	Name      string
	PerSecond float64
}

// Cost is what one search domain costs.
type Cost struct {
	// Search is the domain, or "" for the names as they are.
	Search string `json:"search"`
	// Queries are those sent with the domain behind the name: per second in Expect, counted in ReadLog.
	Queries float64 `json:"queries"`
	// Wasted is how many of them were answered with "no such name".
	Wasted float64 `json:"wasted"`
	// Example is a name that was asked for; empty in Expect.
	Example string `json:"example,omitempty"`
}

// QueriesPerLookup is how many queries one lookup of a name outside of the cluster sends: A and AAAA for the name with each search
// domain and for the name itself, or for the name alone if it has ndots dots or ends with one.
func QueriesPerLookup(name string, searches, ndots int) int {
	if strings.HasSuffix(name, ".") || strings.Count(name, ".") >= ndots {
		return 2
	}
	return 2 * (searches + 1)
}

// Expect says what search domains cost per second when pods look the names up, from the rules of the resolver. Every lookup ends with the
// name as it is. The costs are sorted as the resolver tries them.
func Expect(lookups []Lookup, searches []string, ndots int) []Cost {
	costs := make([]Cost, 0, len(searches)+1)
	for _, search := range searches {
		c := Cost{Search: search}
		for _, l := range lookups {
			if QueriesPerLookup(l.Name, len(searches), ndots) > 2 {
				c.Queries += 2 * l.PerSecond
			}
		}
		c.Wasted = c.Queries
		costs = append(costs, c)
	}
	own := Cost{}
	for _, l := range lookups {
		own.Queries += 2 * l.PerSecond
	}
	return append(costs, own)
}

// logged is a line of CoreDNS's plugin log in its common format: ... "A IN name. udp 54 false 512" NXDOMAIN qr,rd ...
var logged = regexp.MustCompile(`"([A-Z0-9]+) IN ([^ "]+) (?:udp|tcp) [^"]*" ([A-Z]+) `)

// asked is how often a name was asked for, and how often there was no such name.
type asked struct{ queries, failed int }

// ReadLog counts the queries in a log of CoreDNS (Corefile: "log") by search domain. A domain may begin with "*.", which stands for
// one label, as in "*.svc.cluster.local" for the namespaces. Only answers "no such name" are laid to a domain; queries for names that exist
// count as asked on purpose. The costs are sorted by what was wasted; lines that are no queries are skipped.
func ReadLog(r io.Reader, searches []string) ([]Cost, error) {
	names := map[string]asked{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := logged.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(m[2], "."))
		n := names[name]
		n.queries++
		if m[3] == "NXDOMAIN" {
			n.failed++
		}
		names[name] = n
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("log of CoreDNS: %w", err)
	}
	return attribute(names, searches), nil
}

// attribute lays the failed queries to search domains.
func attribute(names map[string]asked, searches []string) []Cost {
	searches = slices.Clone(searches)
	slices.SortFunc(searches, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) }) // the narrowest first
	counts := map[string]*Cost{"": {}}
	for _, search := range searches {
		counts[search] = &Cost{Search: search}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		search, found := searchOf(name, names, searches)
		own := counts[""]
		if found && n.failed > 0 {
			counts[search].add(name, n.failed, n.failed)
			n = asked{queries: n.queries - n.failed}
		}
		if n.queries > 0 {
			own.add(name, n.queries, n.failed)
		}
	}
	costs := make([]Cost, 0, len(counts))
	for _, c := range counts {
		costs = append(costs, *c)
	}
	slices.SortFunc(costs, func(a, b Cost) int {
		return cmp.Or(cmp.Compare(b.Wasted, a.Wasted), cmp.Compare(b.Queries, a.Queries), cmp.Compare(a.Search, b.Search))
	})
	return costs
}

func (c *Cost) add(example string, queries, wasted int) {
	c.Queries += float64(queries)
	c.Wasted += float64(wasted)
	if c.Example == "" {
		c.Example = example
	}
}

// searchOf returns the domain that was put behind a name. "api.example.com.svc.cluster.local" may be "api.example.com" with
// "svc.cluster.local" or "api.example" with that of a namespace "com": the one that was asked for as it is, too, is meant.
func searchOf(name string, names map[string]asked, searches []string) (search string, found bool) {
	for _, candidate := range searches {
		rest, ok := without(name, candidate)
		if !ok {
			continue
		}
		if _, alsoPlain := names[rest]; alsoPlain {
			return candidate, true
		}
		if !found {
			search, found = candidate, true
		}
	}
	return search, found
}

// without returns what is left of a name without the domain.
func without(name, search string) (rest string, ok bool) {
	domain, anyLabel := strings.CutPrefix(search, "*.")
	rest, ok = strings.CutSuffix(name, "."+domain)
	if ok && anyLabel {
		dot := strings.LastIndex(rest, ".")
		if dot < 0 {
			return "", false
		}
		rest = rest[:dot]
	}
	return rest, ok
}

// Text prints costs as a table. unit is what Queries counts, for example "queries/s".
func Text(costs []Cost, unit string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "SEARCH DOMAIN\t%s\tNO SUCH NAME\tEXAMPLE\n", strings.ToUpper(unit))
	total, wasted := 0.0, 0.0
	for _, c := range costs {
		search := c.Search
		if search == "" {
			search = "(names as they are)"
		}
		fmt.Fprintf(w, "%s\t%.6g\t%.6g\t%s\n", search, c.Queries, c.Wasted, c.Example)
		total, wasted = total+c.Queries, wasted+c.Wasted
	}
	share := 0.0
	if total > 0 {
		share = 100 * wasted / total
	}
	fmt.Fprintf(w, "all\t%.6g\t%.6g\t%.0f %% for nothing\n", total, wasted, share)
	_ = w.Flush() // a strings.Builder takes everything
	return text.String()
}
