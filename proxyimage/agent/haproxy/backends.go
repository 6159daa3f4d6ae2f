package haproxy

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// Backend is the state of one backend, summed over its servers.
type Backend struct {
	Name        string
	Connections uint64 // opened since the worker started
	Reuses      uint64 // requests sent over a connection that was there, since the worker started
	Idle        int    // connections that wait for a request now
}

// Backends returns the state of the backends that have servers.
func (a *Admin) Backends(ctx context.Context) ([]Backend, error) {
	reply, err := a.Do(ctx, "show stat -1 4 -1") // all proxies, servers only
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(reply), "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("haproxy admin socket: `show stat`: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var all []Backend
	for _, row := range rows[1:] {
		number := func(name string) uint64 {
			i, ok := column[name]
			if !ok {
				return 0
			}
			n, _ := strconv.ParseUint(row[i], 10, 63)
			return n
		}
		if len(all) == 0 || all[len(all)-1].Name != row[0] {
			all = append(all, Backend{Name: row[0]})
		}
		b := &all[len(all)-1]
		b.Connections += number("connect")
		b.Reuses += number("reuse")
		b.Idle += int(number("srv_icur"))
	}
	return all, nil
}
