package main

import (
	"slices"

	"github.com/sallyport/sallyport/bench/rig"
)

// goal is what our proxy has to reach, and what it reached.
type goal struct {
	Text     string  `json:"text"`
	Relation string  `json:"relation"` // "at least" or "at most"
	Limit    float64 `json:"limit"`
	Got      float64 `json:"got"`
	Met      bool    `json:"met"`
}

func atLeast(text string, limit, got float64) goal {
	return goal{text, "at least", limit, got, got >= limit}
}
func atMost(text string, limit, got float64) goal {
	return goal{text, "at most", limit, got, got <= limit}
}

// find returns a column that was measured, or nil.
func (s *session) find(tableName, columnName string) *column {
	for _, t := range s.tables {
		for _, c := range t.columns {
			if t.name == tableName && c.name == columnName && len(c.values[rig.Ours]) > 0 {
				return c
			}
		}
	}
	return nil
}

// goals judges what was measured.
func (s *session) goals() []goal {
	var all []goal
	ratio := func(table, column string, to rig.Kind, judge func(string, float64, float64) goal, text string, limit float64) {
		if c := s.find(table, column); c != nil {
			if r, ok := c.ratio(rig.Ours, to); ok {
				all = append(all, judge(text, limit, r))
			}
		}
	}
	ratio("connect", "rate", rig.Nginx, atLeast, "new connections/s, of nginx", 0.95)
	ratio("connect", "cpu", rig.Nginx, atMost, "CPU per new connection, of nginx", 1.05)
	ratio("tls", "rate", rig.Nginx, atLeast, "new TLS connections/s, of nginx", 0.95)
	ratio("tls", "cpu", rig.Nginx, atMost, "CPU per new TLS connection, of nginx", 1.05)
	if c := s.find("latency", "added99"); c != nil && len(c.values[rig.Nginx]) > 0 {
		all = append(all, atMost("added p99 latency less nginx's, ms", 0.5, median(c.values[rig.Ours])-median(c.values[rig.Nginx])))
	}
	ratio("bodies", "rate4", rig.Direct, atLeast, "large bodies on 4 connections, of direct", 0.7)
	ratio("bodies", "rate4", rig.Nginx, atLeast, "large bodies on 4 connections, of nginx", 1.5)
	ratio("bodies", "cpu4", rig.Nginx, atMost, "CPU per GB on 4 connections, of nginx", 0.5)
	ratio("bodies", "cpu1", rig.Nginx, atMost, "CPU per GB on 1 connection, of nginx", 0.5)
	if c := s.find("idle", "perconn"); c != nil {
		all = append(all, atMost("process memory per idle connection, KiB", 6, median(c.values[rig.Ours])))
	}
	ratio("idle", "perconn", rig.Nginx, atMost, "process memory per idle connection, of nginx", 0.5)
	all = append(all, s.changeGoals()...)
	ratio("pool", "mean", rig.Direct, atMost, "pool: mean latency, of a fresh TLS connection for each request", 0.4)
	ratio("pool", "cpu", rig.Direct, atMost, "pool: the client's CPU, of a fresh TLS connection for each request", 0.6)
	ratio("pool", "upstream", rig.Direct, atMost, "pool: upstream connections, of one for each request", 0.01)
	return all
}

func (s *session) changeGoals() []goal {
	effect, memory := s.find("changes", "effect"), s.find("changes", "memory")
	if effect == nil || memory == nil {
		return nil
	}
	peak := slices.Max(memory.values[rig.Ours])
	sum := func(name string) float64 { return median(s.find("changes", name).values[rig.Ours]) }
	goals := []goal{
		atMost("slowest change of routes, ms", 1000, slices.Max(effect.values[rig.Ours])),
		atMost("new connections that failed during changes", 0, sum("failed")),
		atMost("held connections that were cut during changes", 0, sum("cut")),
		atLeast("held connections during changes", heldLoad, sum("held")),
		atMost("HAProxy and agent together at their largest, MiB", 120, peak),
		atMost("memory per tenant, MiB", 0.6, peak/tenants),
	}
	if !s.quick {
		goals = append(goals, atLeast("new connections during changes", 10_000, sum("new")))
	}
	return goals
}
