package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench/rig"
)

// better says which way is up.
type better bool

const (
	higher better = true
	lower  better = false
)

// table holds the figures of one measurement.
type table struct {
	name, title string
	ways        []rig.Kind
	columns     []*column
}

// column is one figure of all ways, a value per round.
type column struct {
	name, unit string
	better     better
	values     map[rig.Kind][]float64
}

func (s *session) table(name, title string) *table {
	t := &table{name: name, title: title, ways: s.ways}
	s.tables = append(s.tables, t)
	return t
}

func (t *table) column(name, unit string, b better) *column {
	c := &column{name: name, unit: unit, better: b, values: map[rig.Kind][]float64{}}
	t.columns = append(t.columns, c)
	return c
}

func (c *column) add(way rig.Kind, value float64) { c.values[way] = append(c.values[way], value) }

// difference adds a column with the values of another less those of one way in the same round.
func (t *table) difference(name, unit string, from *column, way rig.Kind) {
	c := t.column(name, unit, from.better)
	for _, each := range t.ways {
		for round, value := range from.values[each] {
			if each != way && round < len(from.values[way]) {
				c.add(each, value-from.values[way][round])
			}
		}
	}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratio returns the median of the ratios of the same round, and whether there is any.
func (c *column) ratio(way, to rig.Kind) (float64, bool) {
	var ratios []float64
	for round, value := range c.values[way] {
		if round < len(c.values[to]) && c.values[to][round] != 0 {
			ratios = append(ratios, value/c.values[to][round])
		}
	}
	return median(ratios), len(ratios) > 0
}

// print writes the table: for each figure the median with its range, and the ratios to no proxy and to nginx.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(w, "  %-22s %9s %21s %10s %10s\n", c.unit, "median", "[min - max]", "/ direct", "/ nginx")
		for _, way := range t.ways {
			values := c.values[way]
			if len(values) == 0 {
				continue
			}
			fmt.Fprintf(w, "    %-20s %9s %21s", way, figure(median(values)), "["+figure(slices.Min(values))+" - "+figure(slices.Max(values))+"]")
			for _, to := range []rig.Kind{rig.Direct, rig.Nginx} {
				text := ""
				if r, ok := c.ratio(way, to); ok && way != to && !strings.HasPrefix(c.name, "added") {
					text = fmt.Sprintf("%.2f", r)
				}
				fmt.Fprintf(w, " %10s", text)
			}
			fmt.Fprintln(w)
		}
	}
}

// figure prints a number with three or four digits that matter.
func figure(v float64) string {
	switch size := max(v, -v); {
	case size >= 100:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func printGoals(w io.Writer, goals []goal) {
	if len(goals) == 0 {
		return
	}
	fmt.Fprintf(w, "\nGoals of our proxy, medians of ratios within a round\n")
	for _, g := range goals {
		verdict := "met"
		if !g.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "  %-6s  %-72s %9s (%s %s)\n", verdict, g.Text, figure(g.Got), g.Relation, figure(g.Limit))
	}
}

// summary is a column of one way in JSON.
type summary struct {
	Median   float64   `json:"median"`
	Min      float64   `json:"min"`
	Max      float64   `json:"max"`
	Values   []float64 `json:"values"` // by round
	ToDirect *float64  `json:"toDirect,omitempty"`
	ToNginx  *float64  `json:"toNginx,omitempty"`
}

type jsonColumn struct {
	Name   string               `json:"name"`
	Unit   string               `json:"unit"`
	Higher bool                 `json:"higherIsBetter"`
	Ways   map[rig.Kind]summary `json:"ways"`
}

type jsonTable struct {
	Name    string       `json:"name"`
	Title   string       `json:"title"`
	Columns []jsonColumn `json:"columns"`
}

// host says where the figures come from.
type host struct {
	Kernel     string `json:"kernel"`
	Processors int    `json:"processors"`
	Arch       string `json:"arch"`
	OpenFiles  int    `json:"proxiedConnectionsAllowed"`
}

func thisHost() host {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // empty if unknown
	most, _ := rig.MaxConnections()
	return host{strings.TrimSpace(string(release)), runtime.NumCPU(), runtime.GOARCH, most}
}

func (c *column) json() jsonColumn {
	j := jsonColumn{Name: c.name, Unit: c.unit, Higher: bool(c.better), Ways: map[rig.Kind]summary{}}
	for way, values := range c.values {
		s := summary{Median: median(values), Min: slices.Min(values), Max: slices.Max(values), Values: values}
		if r, ok := c.ratio(way, rig.Direct); ok {
			s.ToDirect = &r
		}
		if r, ok := c.ratio(way, rig.Nginx); ok {
			s.ToNginx = &r
		}
		j.Ways[way] = s
	}
	return j
}

// write writes the figures as JSON.
func (s *session) write(goals []goal) error {
	var tables []jsonTable
	for _, t := range s.tables {
		j := jsonTable{Name: t.name, Title: t.title}
		for _, c := range t.columns {
			j.Columns = append(j.Columns, c.json())
		}
		tables = append(tables, j)
	}
	for _, note := range s.notes {
		fmt.Println("Note:", note)
	}
	return s.save(map[string]any{
		"began": s.began.UTC().Format(time.RFC3339), "seconds": time.Since(s.began).Seconds(), "host": thisHost(),
		"rounds": s.rounds, "quick": s.quick, "tables": tables, "goals": goals, "notes": s.notes,
	})
}

func (s *session) save(value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	s.say("figures in %s", s.out)
	return nil
}
